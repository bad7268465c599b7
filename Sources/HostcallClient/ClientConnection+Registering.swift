import HostcallFunctions
import HostcallLoop
import HostcallWire

// Registrations: made once, and made again on every new connection.
extension ClientConnection {
  /// A new registration.
  func register(_ record: RegistrationRecord, _ answer: @escaping Answer<HostcallError?>) {
    record.firstAnswer = answer
    records.append(record)
    submit(.register(record))
    // A phase that takes nothing has answered already.
    if record.firstAnswer == nil { records.removeAll { $0 === record } }
  }

  /// Writes REGISTER.
  func transmitRegistration(_ record: RegistrationRecord, _ link: ClientLink) {
    let id = nextRequestID()
    record.isRegistering = true
    link.requests[id] = .register(record)
    link.append(record.parameters.header(request: id), name: record.name, metadata: record.parameters.metadata)
  }

  /// RESULT of REGISTER has come.
  func finishRegistering(
    _ record: RegistrationRecord, _ frame: DecodedFrame, _ link: ClientLink
  ) throws(ProtocolViolation) {
    record.isRegistering = false
    guard frame.header.status == .ok else {
      let error = HostcallError(frame, function: record.name)
      if record.state == .established {
        eventsContinuation.yield(.registrationFailed(error))
        let delay = registrationBackoff.nextDelayMilliseconds()
        madeHandles().registrationTimer.schedule(afterMilliseconds: delay)
      } else {
        remove(record)
        record.answer(error)
      }
      return
    }
    let handle = frame.header.aux
    guard handle != 0, link.functions[handle] == nil else {
      throw ProtocolViolation("RESULT of REGISTER with the handle \(handle), which cannot be")
    }
    link.functions[handle] = record
    if record.state == .ended {
      // It was unregistered before the daemon had answered.
      transmit(.unregister(record, handle: handle, nil), link)
      return record.answer(nil)
    }
    record.handle = handle
    record.state = .established
    record.answer(nil)
  }

  /// Tries once more with what the daemon has not taken back.
  func registerAgain() {
    guard case .ready = phase, let link else { return }
    for record in records where record.state == .established && record.handle == nil && !record.isRegistering {
      transmitRegistration(record, link)
    }
    subscribeAgain(link)
  }

  /// Ends a registration; the answer comes when no new INVOKE of it can.
  func unregister(_ record: RegistrationRecord, _ answer: @escaping Answer<HostcallError?>) {
    guard record.state != .ended else { return answer(nil) }
    remove(record)
    guard let handle = record.handle, let link, link.welcome != nil else {
      return answer(nil)
    }
    record.handle = nil
    transmit(.unregister(record, handle: handle, answer), link)
  }

  private func remove(_ record: RegistrationRecord) {
    record.state = .ended
    records.removeAll { $0 === record }
  }
}
