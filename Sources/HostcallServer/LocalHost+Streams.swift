import HostcallFunctions
import HostcallWire

// Items and credit of calls that this process has made, and of those that it answers (protocol section 4, *Streams*).
extension ServerCore {
  // MARK: What the bridge sends

  func itemCame(_ frame: DecodedFrame) {
    let id = frame.header.id
    if id & LocalHost.requestMark == 0 {
      guard let arguments = host.running[id]?.streams.arguments else { return }
      do throws(ProtocolViolation) {
        _ = try arguments.put(frame)
      } catch {
        arguments.end(broken(error))
      }
    } else if let call = host.calls[id], !call.wasCancelled {
      do throws(ProtocolViolation) {
        if let due = try call.streams.results?.put(frame), due > 0 { grant(due, id: id) }
      } catch {
        cancel(call, because: broken(error))
      }
    }
  }

  /// The bridge lets nothing through that is out of order; should it do so, one call pays for it.
  private func broken(_ violation: ProtocolViolation) -> HostcallError {
    HostcallError(.status(.protocolViolation), message: violation.reason)
  }

  func creditCame(_ header: FrameHeader) {
    if header.id & LocalHost.requestMark == 0 {
      host.running[header.id]?.streams.results?.addCredit(header.aux)
    } else {
      host.calls[header.id]?.streams.arguments?.addCredit(header.aux)
    }
  }

  // MARK: What this process sends

  /// Arguments of a call are to be handed to the bridge.
  func sendArguments(of call: LocalCall) {
    defer { settle() }
    guard host.calls[call.request] != nil, !call.wasCancelled else { return }
    for item in call.streams.arguments?.takePending() ?? [] {
      guard item.payload.count <= configuration.limits.frameBytes else {
        let message =
          "an argument has \(item.payload.count) bytes, and \(configuration.limits.frameBytes) are the most "
          + "(frame-bytes)"
        return cancel(call, because: HostcallError(.status(.tooLarge), message: message))
      }
      submit(item, id: call.request)
    }
  }

  /// Results of a call that this process answers are to be handed to the bridge.
  func sendResults(of correlationID: UInt64) {
    for item in host.running[correlationID]?.streams.results?.takePending() ?? [] { submit(item, id: correlationID) }
    settle()
  }

  /// A handler has come to its end: what it has sent goes before its outcome.
  func endStreams(of running: LocalHost.Running) {
    for item in running.streams.results?.takePending() ?? [] { submit(item, id: running.request.correlationID) }
    running.streams.end(
      HostcallError(
        .status(.late), function: running.request.function, correlationID: running.request.correlationID,
        message: "the call has been completed"))
  }

  func grantResults(of call: LocalCall, _ items: UInt32) {
    guard host.calls[call.request] != nil, !call.wasCancelled else { return }
    grant(items, id: call.request)
    settle()
  }

  func grantArguments(of correlationID: UInt64, _ items: UInt32) {
    guard let running = host.running[correlationID], !running.wasCancelled else { return }
    grant(items, id: correlationID)
    settle()
  }

  private func grant(_ items: UInt32, id: UInt64) {
    submit(FrameEncoder.encode(FrameHeader(kind: .credit, id: id, aux: items)), from: host.peer)
  }

  private func submit(_ item: ItemSender.Item, id: UInt64) {
    let header = FrameHeader(
      kind: .item, flags: item.isLast ? .last : [], encoding: item.encoding, id: id, aux: item.place)
    submit(FrameEncoder.encode(header, payload: item.payload), from: host.peer)
  }
}

/// The way of a call that this process makes.
struct LocalCallPort: CallerPort {
  let call: LocalCall
  let core: ServerCore

  var function: String { call.parameters.function }
  var streams: CallerStreams { call.streams }

  func begin(_ whenEnded: @escaping @Sendable (CallOutcome) -> Void) {
    core.enter { $0.begin(call, whenEnded: whenEnded) }
  }

  func sendPendingItems() {
    core.enter { $0.sendArguments(of: call) }
  }

  func grant(_ items: UInt32) {
    core.enter { $0.grantResults(of: call, items) }
  }

  func cancel(_ reason: HostcallError?) {
    core.enter { $0.cancel(call, because: reason) }
  }
}

/// The streams' way of a call that this process answers.
struct LocalServedPort: CallPort {
  let correlationID: UInt64
  let core: ServerCore

  func sendPendingItems() {
    core.enter { $0.sendResults(of: correlationID) }
  }

  func grant(_ items: UInt32) {
    core.enter { $0.grantArguments(of: correlationID, items) }
  }
}
