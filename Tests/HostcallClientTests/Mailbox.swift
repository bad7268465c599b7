import HostcallLoop

/// Hands values from any thread to whoever awaits them, in order: the barrier of these tests.
final class Mailbox<Value: Sendable>: Sendable {
  private struct State {
    var values: [Value] = []
    var isClosed = false
    var waiters: [CheckedContinuation<Value?, Never>] = []
  }
  private let state = HeapLock(State())

  /// Puts a value in; one that is put into a closed mailbox is lost.
  func put(_ value: Value) {
    let waiter: CheckedContinuation<Value?, Never>? = state.withLock { state in
      guard !state.isClosed else { return nil }
      guard state.waiters.isEmpty else { return state.waiters.removeFirst() }
      state.values.append(value)
      return nil
    }
    waiter?.resume(returning: value)
  }

  /// Lets `next` give nil once everything is taken out.
  func close() {
    let waiters = state.withLock { state in
      state.isClosed = true
      let waiters = state.waiters
      state.waiters = []
      return waiters
    }
    for waiter in waiters { waiter.resume(returning: nil) }
  }

  /// The next value; nil after the end.
  func next() async -> Value? {
    await withCheckedContinuation { continuation in
      let ready: Value?? = state.withLock { state in
        if !state.values.isEmpty { return .some(state.values.removeFirst()) }
        if state.isClosed { return .some(nil) }
        state.waiters.append(continuation)
        return nil
      }
      if let ready { continuation.resume(returning: ready) }
    }
  }
}

extension Mailbox<Void> {
  func put() { put(()) }
}
