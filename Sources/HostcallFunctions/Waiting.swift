import HostcallLoop

/// Tasks, and closures of those who have no task, that wait in line, each until it is given a value.
struct Waiters<Value: Sendable> {
  /// One that waits; it has to be resumed once.
  enum Continuation {
    case task(CheckedContinuation<Value, Never>)
    /// Told on the thread that brings the value.
    case closure(@Sendable (Value) -> Void)

    func resume(returning value: Value) {
      switch self {
      case .task(let continuation): continuation.resume(returning: value)
      case .closure(let closure): closure(value)
      }
    }
  }

  private struct Waiter {
    let number: UInt64
    let continuation: Continuation
  }

  private var line = Queue<Waiter>()
  private var lastNumber: UInt64 = 0

  var isEmpty: Bool { line.isEmpty }

  /// A number by which a task that may wait is known.
  mutating func newNumber() -> UInt64 {
    lastNumber += 1
    return lastNumber
  }

  mutating func append(_ number: UInt64, _ continuation: Continuation) {
    line.append(Waiter(number: number, continuation: continuation))
  }

  /// The one that has waited longest, which has to be resumed; nil where nobody waits.
  mutating func popFirst() -> Continuation? {
    line.popFirst()?.continuation
  }

  /// The one with this number, which has to be resumed; nil where it does not wait.
  mutating func remove(_ number: UInt64) -> Continuation? {
    line.removeFirst { $0.number == number }?.continuation
  }

  /// All, in order; they have to be resumed.
  mutating func removeAll() -> [Continuation] {
    line.removeAll().map(\.continuation)
  }
}

/// What a lock keeps and tasks wait for.
protocol WaitedFor: SendableMetatype {
  associatedtype Value: Sendable

  /// Those for whom there is nothing yet. Whoever brings something, or the end, gives it to them.
  var waiters: Waiters<Value> { get set }
  /// Takes out what there is for a task that comes now; nil where it has to wait.
  mutating func take() -> Value?
  /// What a task gets that is cancelled while it waits.
  var valueWhenCancelled: Value { get }
}

extension HeapLock where State: WaitedFor {
  /// Takes what there is, or has the closure wait in line for it; it is told once, at once or on the thread that brings
  /// it. Thread: any.
  func takeOrTell(_ closure: @escaping @Sendable (State.Value) -> Void) {
    let ready = withLock { state -> State.Value? in
      if let ready = state.take() { return ready }
      state.waiters.append(state.waiters.newNumber(), .closure(closure))
      return nil
    }
    if let ready { closure(ready) }
  }

  /// Takes what there is, or waits in line for it. Thread: any.
  ///
  /// - Parameter whenCancelled: called when the task is cancelled, and then has to bring about a value, which is waited
  ///   for; nil where the wait alone ends, with `valueWhenCancelled`.
  func takeOrWait(
    isolation: isolated (any Actor)?, whenCancelled: (@Sendable () -> Void)? = nil
  ) async -> State.Value {
    let (ready, number) = withLock { state -> (State.Value?, UInt64) in
      if let ready = state.take() { return (ready, 0) }
      return (nil, state.waiters.newNumber())
    }
    if let ready { return ready }
    return await withTaskCancellationHandler {
      await withCheckedContinuation(isolation: isolation) { continuation in
        let ready = withLock { state -> State.Value? in
          if let ready = state.take() { return ready }
          // Otherwise the handler below finds the waiter.
          if whenCancelled == nil, Task.isCancelled { return state.valueWhenCancelled }
          state.waiters.append(number, .task(continuation))
          return nil
        }
        if let ready { continuation.resume(returning: ready) }
      }
    } onCancel: {
      if let whenCancelled { return whenCancelled() }
      let (waiter, value) = withLock { state in (state.waiters.remove(number), state.valueWhenCancelled) }
      waiter?.resume(returning: value)
    }
  }
}
