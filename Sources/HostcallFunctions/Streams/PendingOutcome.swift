import HostcallLoop

/// The outcome of a call, which comes once, for any number of tasks that wait for it.
///
/// Thread: any.
package final class PendingOutcome: Sendable {
  package typealias Outcome = Result<HostcallResponse, HostcallError>

  private struct State {
    var outcome: Outcome?
    var waiters: [CheckedContinuation<Outcome, Never>] = []
  }

  private let state = HeapLock(State())

  package init() {}

  /// Tells it, once.
  package func come(_ outcome: Outcome) {
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
  package func wait(isolation: isolated (any Actor)? = #isolation) async -> Outcome {
    await withCheckedContinuation(isolation: isolation) { continuation in
      let ready = state.withLock { state -> Outcome? in
        if state.outcome == nil { state.waiters.append(continuation) }
        return state.outcome
      }
      if let ready { continuation.resume(returning: ready) }
    }
  }
}
