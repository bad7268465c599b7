import HostcallLoop

/// What a call comes to.
package typealias CallOutcome = Result<HostcallResponse, HostcallError>

/// The outcome of a call, which comes once, for any number of tasks that wait for it.
///
/// Thread: any.
package final class PendingOutcome: Sendable {
  private struct State {
    var outcome: CallOutcome?
    var waiters: [CheckedContinuation<CallOutcome, Never>] = []
  }

  private let state = HeapLock(State())

  package init() {}

  /// Tells it, once.
  package func come(_ outcome: CallOutcome) {
    let waiters = state.withLock { state in
      precondition(state.outcome == nil, "a call has a second outcome")
      state.outcome = outcome
      let waiters = state.waiters
      state.waiters = []
      return waiters
    }
    for waiter in waiters { waiter.resume(returning: outcome) }
  }

  /// Waits for it.
  package func wait(isolation: isolated (any Actor)? = #isolation) async -> CallOutcome {
    await withCheckedContinuation(isolation: isolation) { continuation in
      let ready = state.withLock { state -> CallOutcome? in
        if state.outcome == nil { state.waiters.append(continuation) }
        return state.outcome
      }
      if let ready { continuation.resume(returning: ready) }
    }
  }
}
