import HostcallFunctions
import HostcallLoop
import HostcallWire

// Requests to the daemon and what they come to.
extension ClientConnection {
  /// A call begins.
  ///
  /// It ends exactly once, by `OutgoingCall.end`, which tells `whenEnded`.
  func begin(_ call: OutgoingCall, whenEnded: @escaping (CallOutcome) -> Void) {
    call.begin(whenEnded)
    if case .cancelledEarly(let error) = call.state { return call.fail(error ?? Self.cancelledBeforeSending) }
    submit(.call(call))
  }

  /// Nobody wants the outcome of a call any more, because of an error that it then ends with, or for no reason.
  ///
  /// A call under way ends with the daemon's RESULT, which comes at once.
  func cancel(_ call: OutgoingCall, because error: HostcallError? = nil) {
    switch call.state {
    case .new: call.state = .cancelledEarly(because: error)
    case .waiting: call.fail(error ?? Self.cancelledBeforeSending)
    case .sent(let requestID):
      call.state = .cancelling(because: error)
      link?.append(FrameHeader(kind: .cancel, id: requestID))
    case .cancelledEarly, .cancelling, .ended: break
    }
  }

  private static var cancelledBeforeSending: HostcallError {
    HostcallError(.status(.cancelled), message: "the task was cancelled before the call was sent")
  }

  /// Sends a request, or has it wait for the connection, or refuses it.
  func submit(_ request: ClientRequest) {
    switch phase {
    case .ready:
      if let link { transmit(request, link) }
    case .connecting: wait(request)
    case .idle, .backingOff:
      wait(request)
      beginConnecting()
    case .leaving:
      request.fail(
        HostcallError(.status(.shuttingDown), origin: .daemon, message: "it is stopping and takes nothing new"))
    case .shuttingDown:
      if request.isInsideHandler, let link {
        transmit(request, link)
      } else {
        request.fail(HostcallError(.closed, message: "this client is shutting down"))
      }
    case .closed: request.fail(closedError)
    }
  }

  private func wait(_ request: ClientRequest) {
    guard case .call(let call) = request else { return waiting.append(request) }
    guard waitingBytes == 0 || waitingBytes + call.payload.count <= configuration.largestQueueBytes else {
      return call.fail(
        HostcallError(
          .status(.overloaded),
          message: "\(waitingBytes) bytes wait for a connection, and \(configuration.largestQueueBytes) may "
            + "(largestQueueBytes)"))
    }
    waitingBytes += call.payload.count
    waiting.append(request)
    call.state = .waiting
    watchDeadline(of: call)
  }

  /// Writes a request's frame.
  func transmit(_ request: ClientRequest, _ link: ClientLink) {
    switch request {
    case .call(let call): transmitCall(call, link)
    case .register(let record): transmitRegistration(record, link)
    case .unregister(_, let handle, _):
      let id = nextRequestID()
      link.requests[id] = request
      link.append(FrameHeader(kind: .unregister, id: id, function: handle))
    case .subscribe(let record): transmitSubscription(record, link)
    case .unsubscribe(let pattern):
      let id = nextRequestID()
      link.requests[id] = request
      link.append(FrameHeader(kind: .unsubscribe, id: id), name: pattern)
    case .publish(let publication): transmitPublication(publication, link)
    }
  }

  private func transmitCall(_ call: OutgoingCall, _ link: ClientLink) {
    if case .ended = call.state { return }
    if call.parameters.hasStreams, let error = link.lack(of: .streams) { return call.fail(error) }
    if call.parameters.hasDescriptors, let error = link.lack(of: .descriptors) { return call.fail(error) }
    guard let timeout = call.parameters.timeoutMilliseconds() else {
      return call.fail(HostcallError(.status(.timeout), message: "no time was left when it was to be sent"))
    }
    let bytes = call.function.utf8.count + call.parameters.metadata.encodedBytes + call.payload.count
    if let error = refusal(of: bytes, "the call", link) { return call.fail(error) }
    let id = nextRequestID()
    var header = call.parameters.header(request: id, timeoutMilliseconds: timeout)
    header.aux += min(call.grantedEarly, .max - header.aux)
    link.append(
      header, name: call.function, metadata: call.parameters.metadata, payload: call.payload,
      descriptors: call.descriptors)
    call.descriptors = .none
    if call.parameters.flags.has(.noReply) {
      call.end(.success(HostcallResponse(payload: [])))
    } else {
      call.state = .sent(requestID: id)
      call.payload = []
      link.requests[id] = .call(call)
      watchDeadline(of: call)
      // The end of no arguments may have been known before.
      sendArguments(of: call)
    }
  }

  /// Why a body of so many bytes cannot be sent, nil where it can.
  func refusal(of bytes: Int, _ what: String, _ link: ClientLink) -> HostcallError? {
    guard bytes <= link.largestOutgoingBytes else {
      return HostcallError(
        .status(.tooLarge),
        message: "\(what) has \(bytes) bytes, and the daemon takes \(link.largestOutgoingBytes) at most (max-frame)")
    }
    let queued = link.stream.output.queuedBytes
    guard queued == 0 || queued + bytes <= configuration.largestQueueBytes else {
      return HostcallError(
        .status(.overloaded),
        message: "\(queued) bytes wait for a daemon that does not read, and \(configuration.largestQueueBytes) may "
          + "(largestQueueBytes)")
    }
    return nil
  }

  /// RESULT has come.
  func receiveResult(
    _ frame: DecodedFrame, _ descriptors: HostcallDescriptors, _ link: ClientLink
  ) throws(ProtocolViolation) {
    guard let request = link.requests.removeValue(forKey: frame.header.id) else {
      throw ProtocolViolation("RESULT for the request \(frame.header.id), which is not outstanding")
    }
    switch request {
    case .call(let call): finish(call, frame, descriptors)
    case .register(let record): try finishRegistering(record, frame, link)
    case .unregister(_, let handle, let answer):
      link.functions[handle] = nil
      answer?(frame.header.status == .ok ? nil : HostcallError(frame, function: nil))
    case .subscribe(let record): finishSubscribing(record, frame)
    // What the daemon does not have any more need not be ended.
    case .unsubscribe: break
    case .publish(let publication): finishPublishing(publication, frame)
    }
  }

  private func finish(_ call: OutgoingCall, _ frame: DecodedFrame, _ descriptors: HostcallDescriptors) {
    // It was overdue, and its caller knows.
    if case .ended = call.state { return }
    let header = frame.header
    let correlationID = header.call == 0 ? nil : header.call
    if frame.isTooLarge {
      call.fail(
        HostcallError(
          .status(.tooLarge), correlationID: correlationID,
          message:
            "the result has \(header.bodyBytes) bytes, and this client takes \(configuration.largestFrameBytes) at "
            + "most (largestFrameBytes)"))
    } else if descriptors.wereTruncated {
      call.fail(
        HostcallError(
          .status(.overloaded), correlationID: correlationID,
          message: "this process can have no more open files, and the result has some (raise its limit on them)"))
    } else if header.status == .ok {
      call.end(.success(HostcallResponse(frame, descriptors: descriptors)))
    } else if header.status == .cancelled, case .cancelling(let error?) = call.state {
      call.fail(error)
    } else {
      call.fail(HostcallError(frame, function: call.function))
    }
  }
}
