import HostcallFunctions
import HostcallLoop
import HostcallWire

// Items and credit of calls that this client has made, and of those that it answers (protocol section 4, *Streams*).
extension ClientConnection {
  // MARK: From the daemon

  /// ITEM has come: a result for a call of ours, or an argument of one that runs here.
  func receiveItem(_ frame: DecodedFrame, _ link: ClientLink) throws(ProtocolViolation) {
    let id = frame.header.id
    if id & ClientLink.requestMark != 0 {
      guard case .call(let call)? = link.requests[id], let items = call.streams.results else {
        throw ProtocolViolation("ITEM without credit")
      }
      // Nobody is left to take them while CANCEL is on its way.
      switch call.state {
      case .cancelling, .ended: return
      default: break
      }
      if frame.isTooLarge { return cancel(call, because: itemIsTooLarge(frame.header)) }
      let due = try items.put(frame)
      if due > 0 { link.append(FrameHeader(kind: .credit, id: id, aux: due)) }
    } else if let running = link.running[id] {
      guard let arguments = running.streams.arguments else {
        throw ProtocolViolation("ITEM for the call \(id), which has no arguments")
      }
      if frame.isTooLarge { return arguments.end(itemIsTooLarge(frame.header)) }
      _ = try arguments.put(frame)
    }
    // Otherwise the call was completed while the item was on its way.
  }

  private func itemIsTooLarge(_ header: FrameHeader) -> HostcallError {
    HostcallError(
      .status(.tooLarge),
      message:
        "an item has \(header.bodyBytes) bytes, and this client takes \(configuration.largestFrameBytes) at most "
        + "(largestFrameBytes)")
  }

  /// CREDIT has come: arguments of a call of ours may be sent, or results of one that runs here.
  ///
  /// It may meet the end of its call on the way.
  func receiveCredit(_ header: FrameHeader, _ link: ClientLink) {
    if header.id & ClientLink.requestMark != 0 {
      if case .call(let call)? = link.requests[header.id] { call.streams.arguments?.addCredit(header.aux) }
    } else {
      link.running[header.id]?.streams.results?.addCredit(header.aux)
    }
  }

  // MARK: To the daemon

  /// Arguments of a call are to be written.
  func sendArguments(of call: OutgoingCall) {
    guard case .sent(let requestID) = call.state, let link, let arguments = call.streams.arguments else { return }
    for item in arguments.takePending() {
      guard item.payload.count <= link.largestOutgoingBytes else {
        let error = HostcallError(
          .status(.tooLarge),
          message: "an argument has \(item.payload.count) bytes, and the daemon takes \(link.largestOutgoingBytes) at "
            + "most (max-frame)")
        return cancel(call, because: error)
      }
      write(item, id: requestID, link)
    }
    holdIfNeeded(arguments, link)
  }

  /// Results of a call that runs here are to be written.
  func sendResults(of correlationID: UInt64, linkNumber: UInt64) {
    guard let link, link.number == linkNumber, let results = link.running[correlationID]?.streams.results else {
      return
    }
    for item in results.takePending() { write(item, id: correlationID, link) }
    holdIfNeeded(results, link)
  }

  /// A handler has come to its end: what it has sent goes before its outcome.
  func endStreams(of running: ClientLink.Running, _ link: ClientLink) {
    let request = running.invocation.request
    for item in running.streams.results?.takePending() ?? [] { write(item, id: request.correlationID, link) }
    running.streams.end(
      HostcallError(
        .status(.late), function: request.function, correlationID: request.correlationID,
        message: "the call has been completed"))
  }

  private func write(_ item: ItemSender.Item, id: UInt64, _ link: ClientLink) {
    link.append(
      FrameHeader(kind: .item, flags: item.isLast ? .last : [], encoding: item.encoding, id: id, aux: item.place),
      payload: item.payload)
  }

  /// Lets a sender wait while the daemon does not read.
  private func holdIfNeeded(_ sender: ItemSender, _ link: ClientLink) {
    guard link.stream.output.queuedBytes > configuration.itemQueueBytes else { return }
    sender.hold(true)
    link.heldSenders.append(sender)
  }

  /// The daemon has read: senders may go on once half of what made them wait is gone.
  func releaseHeldSenders(_ link: ClientLink) {
    guard !link.heldSenders.isEmpty, link.stream.output.queuedBytes <= configuration.itemQueueBytes / 2 else { return }
    let senders = link.heldSenders
    link.heldSenders = []
    for sender in senders { sender.hold(false) }
  }

  /// The consumer of a call's results can take more.
  func grantResults(of call: OutgoingCall, _ items: UInt32) {
    switch call.state {
    case .new, .waiting: call.grantedEarly += min(items, .max - call.grantedEarly)
    case .sent(let requestID): link?.append(FrameHeader(kind: .credit, id: requestID, aux: items))
    case .cancelledEarly, .cancelling, .ended: break
    }
  }

  /// The handler of a call can take more arguments.
  func grantArguments(of correlationID: UInt64, _ items: UInt32, linkNumber: UInt64) {
    guard let link, link.number == linkNumber, let running = link.running[correlationID], !running.wasCancelled
    else { return }
    link.append(FrameHeader(kind: .credit, id: correlationID, aux: items))
  }
}

/// The way of a call that this client makes.
struct OutgoingCallPort: CallerPort {
  let call: OutgoingCall
  let connection: ClientConnection

  var function: String { call.function }
  var streams: CallerStreams { call.streams }

  func begin(_ whenEnded: @escaping @Sendable (CallOutcome) -> Void) {
    connection.enter { $0.begin(call, whenEnded: whenEnded) }
  }

  func sendPendingItems() {
    connection.enter { $0.sendArguments(of: call) }
  }

  func grant(_ items: UInt32) {
    connection.enter { $0.grantResults(of: call, items) }
  }

  func cancel(_ reason: HostcallError?) {
    connection.enter { $0.cancel(call, because: reason) }
  }
}

/// The streams' way of a call that this client answers.
struct ServedCallPort: CallPort {
  let correlationID: UInt64
  let linkNumber: UInt64
  let connection: ClientConnection

  func sendPendingItems() {
    connection.enter { $0.sendResults(of: correlationID, linkNumber: linkNumber) }
  }

  func grant(_ items: UInt32) {
    connection.enter { $0.grantArguments(of: correlationID, items, linkNumber: linkNumber) }
  }
}
