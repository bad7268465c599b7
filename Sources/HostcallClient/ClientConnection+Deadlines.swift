import HostcallFunctions
import HostcallLoop
import HostcallWire

// Calls whose daemon does not tell that their time is over. A deadline is the daemon's to keep; but a daemon that stands
// still must not keep callers waiting.
extension ClientConnection {
  /// How often calls are looked through at most.
  private static let shortestIntervalMilliseconds: Int64 = 50

  /// A call waits, or was sent: somebody will look after its deadline.
  func watchDeadline(of call: OutgoingCall) {
    guard let due = due(call) else { return }
    if let next = nextDeadlineCheck, next <= due { return }
    scheduleDeadlineCheck(due)
  }

  /// When a call ends here, if nobody else has ended it: at its deadline while it waits for a connection, and once it is
  /// sent when the daemon has had its time to tell.
  private func due(_ call: OutgoingCall) -> ContinuousClock.Instant? {
    guard let deadline = call.parameters.deadline else { return nil }
    switch call.state {
    case .waiting: return deadline
    case .sent, .cancelling: return deadline + configuration.deadlineGrace
    case .new, .cancelledEarly, .ended: return nil
    }
  }

  private func scheduleDeadlineCheck(_ due: ContinuousClock.Instant) {
    nextDeadlineCheck = due
    let left = max(1, TimeoutRules.milliseconds(due - .now))
    madeHandles().deadlineTimer.schedule(afterMilliseconds: UInt64(left))
  }

  /// Ends what is overdue, and looks when the next one will be.
  func checkDeadlines() {
    nextDeadlineCheck = nil
    let now = ContinuousClock.now
    let calls = waiting.compactMap(\.call) + (link?.requests.values.compactMap(\.call) ?? [])
    var next: ContinuousClock.Instant?
    var overdue: [OutgoingCall] = []
    for call in calls {
      guard let due = due(call) else { continue }
      if due <= now {
        overdue.append(call)
      } else {
        next = min(next ?? due, due)
      }
    }
    if let next {
      scheduleDeadlineCheck(max(next, now + .milliseconds(Self.shortestIntervalMilliseconds)))
    }
    for call in overdue { endOverdue(call) }
    waiting.removeAll { $0.call?.hasEnded ?? false }
    waitingBytes = waiting.reduce(0) { $0 + ($1.call?.payload.count ?? 0) }
  }

  /// The daemon's RESULT, should it still come, is passed over.
  private func endOverdue(_ call: OutgoingCall) {
    if case .sent(let requestID) = call.state { link?.append(FrameHeader(kind: .cancel, id: requestID)) }
    let message =
      if case .waiting = call.state {
        "there was no connection to hostcalld at \(path) before its deadline"
      } else {
        "hostcalld at \(path) has not answered within \(configuration.deadlineGrace) of the deadline (deadlineGrace)"
      }
    call.fail(HostcallError(.status(.timeout), message: message))
  }
}
