import HostcallFunctions
import HostcallLoop
import HostcallWire

// The daemon leaves, this client leaves, and the end.
extension ClientConnection {
  /// GOAWAY has come.
  func receiveGoaway(_ frame: DecodedFrame) {
    let status = frame.header.status
    let text = PayloadText.text(ArraySlice(frame.payload), encoding: .raw)
    if status == .ok || status == .shuttingDown {
      // What runs is finished; the daemon closes the connection after it.
      if case .ready = phase {
        phase = .leaving
        return
      }
      if case .shuttingDown = phase { return }
    }
    let reason = text.isEmpty ? "the daemon has ended it with \(status)" : "\(status) from the daemon: \(text)"
    lose(connectionEnded(reason, status: status, origin: .daemon))
  }

  /// Says GOAWAY, finishes what runs, and closes.
  ///
  /// The answer comes at the end.
  func shutDown(_ answer: @escaping Answer<HostcallError?>) {
    waitUntilClosed(answer)
    switch phase {
    case .idle, .connecting, .backingOff: finishClosing(nil)
    case .ready, .leaving:
      guard let link else { return finishClosing(nil) }
      phase = .shuttingDown
      link.append(FrameHeader(kind: .goaway))
      // The answer comes after everything that the daemon sent before it knew.
      sendPing(.goawayWasSeen, link)
    case .shuttingDown, .closed: break
    }
  }

  /// Closes when the last outcome has left.
  func finishShutdownIfDone() {
    guard case .shuttingDown = phase, let link, link.goawayWasSeen, link.isIdle else { return }
    // Otherwise the flush that has sent the rest comes back here.
    guard link.stream.output.queuedBytes == 0 else { return }
    finishClosing(nil)
  }

  /// Closes at once.
  func closeNow() {
    if case .closed = phase { return }
    finishClosing(nil)
  }

  /// Nobody refers to the client any more.
  func abandon() {
    isAbandoned = true
    closeIfAbandoned()
  }

  /// Closes a client that nobody refers to, unless it has registrations, subscriptions or something under way.
  func closeIfAbandoned() {
    guard isAbandoned, records.isEmpty, subscriptions.isEmpty, waiting.isEmpty, link?.isIdle ?? true else { return }
    closeNow()
  }

  /// Tells when the client is closed, and why.
  func waitUntilClosed(_ answer: @escaping Answer<HostcallError?>) {
    if case .closed(let reason) = phase { return answer(reason) }
    closeWaiters.append(answer)
  }

  /// The end.
  ///
  /// The reason is nil where this program wanted it.
  func finishClosing(_ reason: HostcallError?) {
    // What was sent without waiting for an answer, or just completed, should not be lost by closing.
    if let link, link.welcome != nil { _ = link.stream.flush() }
    phase = .closed(reason)
    dropLink(closedError)
    for record in records { record.state = .ended }
    records = []
    for record in subscriptions.values { record.state = .ended }
    subscriptions = [:]
    consumers.endAll(reason)
    closeHandles()
    for answer in connectWaiters { answer(closedError) }
    connectWaiters = []
    if let reason { eventsContinuation.yield(.disconnected(reason)) }
    eventsContinuation.finish()
    rejectionsContinuation.finish()
    for answer in closeWaiters { answer(reason) }
    closeWaiters = []
  }
}
