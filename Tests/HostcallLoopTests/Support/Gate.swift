import HostcallLoop

/// Lets tasks wait until it has been opened a number of times; from any thread.
final class Gate: Sendable {
  private struct State {
    var missing: Int
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state: HeapLock<State>

  init(count: Int = 1) {
    state = HeapLock(State(missing: count))
  }

  func open() {
    let waiters = state.withLock { state in
      state.missing -= 1
      guard state.missing == 0 else { return [CheckedContinuation<Void, Never>]() }
      let waiters = state.waiters
      state.waiters = []
      return waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  func wait() async {
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let isOpen = state.withLock { state in
        if state.missing > 0 { state.waiters.append(continuation) }
        return state.missing <= 0
      }
      if isOpen { continuation.resume() }
    }
  }
}
