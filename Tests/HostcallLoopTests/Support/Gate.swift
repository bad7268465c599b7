import HostcallLoop
import Testing

/// Lets tasks wait until it has been opened a number of times; from any thread.
///
/// A wait also ends, with an issue recorded, when its task is cancelled: so a test's time limit fails it, where a
/// continuation that no one resumes would hang the whole run.
final class Gate: Sendable {
  private struct State {
    var missing: Int
    var isGivenUp = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state: HeapLock<State>

  init(count: Int = 1) {
    state = HeapLock(State(missing: count))
  }

  func open() {
    resume { $0.missing -= 1 }
  }

  func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        let mustWait = state.withLock { state in
          guard state.missing > 0, !state.isGivenUp else { return false }
          state.waiters.append(continuation)
          return true
        }
        if !mustWait { continuation.resume() }
      }
    } onCancel: {
      resume { $0.isGivenUp = true }
    }
    let missing = state.withLock { $0.missing }
    if missing > 0 { Issue.record("a gate was not opened in time, \(missing) times were missing") }
  }

  private func resume(after change: (inout State) -> Void) {
    let waiters = state.withLock { state in
      change(&state)
      guard state.missing <= 0 || state.isGivenUp else { return [CheckedContinuation<Void, Never>]() }
      let waiters = state.waiters
      state.waiters = []
      return waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
