import HostcallWire

// What must hold of a call that is over (protocol section 4).
extension Ledger {
  func check(_ call: SoakCall) {
    checkInvocations(call)
    for invocation in call.invocations { check(invocation) }
    if call.callerIsGone { return counts.abandonedByCaller += 1 }
    guard !call.flags.contains(.noReply) else {
      if call.outcome != nil { violated("\(name(call)) asked for no reply and got one") }
      return counts.withoutReply += 1
    }
    guard let outcome = call.outcome else { return violated("\(name(call)) has no outcome") }
    counts.outcomes[outcome.status.rawValue, default: 0] += 1
    if outcome.isFromWorker { checkAnswer(call, outcome) } else { checkRefusal(call, outcome) }
  }

  private func checkInvocations(_ call: SoakCall) {
    let most = call.mayRunAgain ? Self.mostInvocations : 1
    if call.invocations.count > most {
      violated("\(name(call)) came to workers \(call.invocations.count) times, \(most) are the most")
    }
    // Sent again is only what a worker was lost with. The order here is that in which INVOKEs were read, not sent.
    if call.invocations.count(where: { !$0.workerIsGone }) > 1 {
      violated(
        "\(name(call)) was sent again although its worker was there: "
          + call.invocations.map { describe($0) }.joined(separator: "; "))
    }
  }

  /// COMPLETE, CANCEL and REJECTED as one worker has seen them.
  private func check(_ invocation: SoakInvocation) {
    var expected: [Status] = []
    for (place, status) in invocation.completions.enumerated() {
      if place > 0 {
        expected.append(.duplicate)
      } else if invocation.cancelled != nil, status != .cancelled {
        expected.append(.late)
      }
    }
    let rejections = invocation.rejections
    counts.rejections += rejections.count
    if invocation.workerIsGone { return counts.invocationsLost += 1 }
    if invocation.completions.isEmpty { violated("\(name(invocation.call)) was never completed by its worker") }
    // Items on their way when the call ended are LATE too, or, after its completion, never there.
    let extra = invocation.cancelled == nil ? 0 : invocation.framesSent
    let isRight =
      extra == 0
      ? rejections == expected
      : rejections.suffix(expected.count) == expected[...] && rejections.count <= expected.count + extra
        && rejections.dropLast(expected.count).allSatisfy { $0 == .late }
    if !isRight {
      violated(
        "\(name(invocation.call)): completions \(invocation.completions), cancel \(text(invocation.cancelled)), "
          + "\(extra) items too late, rejected \(rejections), expected \(expected)")
    }
    if invocation.isAccepted { counts.completionsAccepted += 1 }
    if expected.contains(.late) { counts.completionsLate += 1 }
  }

  /// The worker's own outcome is that of exactly one completion that was taken.
  private func checkAnswer(_ call: SoakCall, _ outcome: SoakCall.Outcome) {
    guard call.plan != .builtIn else { return }
    let given = call.invocations.filter { $0.id == outcome.correlationID && $0.completions.first == outcome.status }
    if given.isEmpty {
      violated("\(name(call)) got \(outcome.status) from a worker, and none has given that")
    } else if given.allSatisfy({ $0.cancelled != nil }) {
      violated("\(name(call)) got \(outcome.status) from a worker that was told of its end")
    }
    if call.plan == .items, outcome.status == .ok, call.itemsReceived != call.items {
      violated("\(name(call)) ended with \(call.itemsReceived) of \(call.items) items")
    }
  }

  /// The daemon's outcome has a reason, and no worker's was taken.
  private func checkRefusal(_ call: SoakCall, _ outcome: SoakCall.Outcome) {
    let status = outcome.status
    if let accepted = call.invocations.first(where: { $0.isAccepted }) {
      violated("\(name(call)) got \(status) although its completion \(accepted.id) was taken")
    }
    for invocation in call.invocations where invocation.id != outcome.correlationID {
      violated("\(name(call)) ended as \(outcome.correlationID) and was run as \(invocation.id)")
    }
    let living = call.invocations.first { !$0.workerIsGone }
    switch status {
    case .timeout, .cancelled:
      if status == .cancelled, !call.wasCancelled { violated("\(name(call)) was CANCELLED by nobody") }
      if let living, living.cancelled != status {
        violated("\(name(call)) got \(status), its worker was told \(text(living.cancelled))")
      }
    case .notFound:
      if call.flags.contains(.wait) { violated("\(name(call)) got NOT_FOUND although it waits") }
      if living != nil { violated("\(name(call)) got NOT_FOUND and was run") }
    case .workerLost:
      if living != nil { violated("\(name(call)) got WORKER_LOST and its worker is there") }
    case .overloaded:
      if !call.invocations.isEmpty { violated("\(name(call)) got OVERLOADED and was run") }
    case .invalidArgument where call.plan == .files:
      // Its worker was to be one behind the proxy, which takes no files.
      if living != nil { violated("\(name(call)) got INVALID_ARGUMENT and was run") }
    default: violated("\(name(call)) got \(status) from the daemon")
    }
  }

  private func describe(_ invocation: SoakInvocation) -> String {
    "\(invocation.id) completed \(invocation.completions), cancel \(text(invocation.cancelled)), rejected "
      + "\(invocation.rejections)\(invocation.workerIsGone ? ", worker gone" : "")"
  }

  private func text(_ status: Status?) -> String { status.map { "\($0)" } ?? "nothing" }

  func name(_ call: SoakCall) -> String {
    "call \(call.identity) (\(call.plan), \(call.function?.name ?? "hostcall.echo"), flags \(call.flags))"
  }
}
