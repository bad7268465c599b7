import HostcallLoop
import HostcallWire

/// The events that wait for one consumer, bounded: the oldest make way for new ones, and are counted.
///
/// The loop puts events in and never waits; the consumer takes them out in order. Thread: any.
package final class EventBuffer: Sendable {
  private enum Next: Sendable {
    case event(HostcallEvent)
    case end
    case failed(HostcallError)
  }

  private struct State: WaitedFor {
    let mostEvents: Int
    let mostBytes: Int
    var events = Queue<HostcallEvent>()
    var bytes = 0
    /// What the next event has to tell.
    var dropped = 0
    var followsGap = false
    /// What follows the events that are there; nil while more may come.
    var ending: Next?
    var waiters = Waiters<Next>()

    mutating func take() -> Next? {
      guard let event = events.popFirst() else { return ending }
      bytes -= event.byteCount
      return .event(event)
    }

    var valueWhenCancelled: Next { .end }

    /// Makes room; what is lost is told by the event that is the oldest then, or by the next to come.
    mutating func dropOldest() {
      guard let oldest = events.popFirst() else { return }
      bytes -= oldest.byteCount
      let lost = oldest.droppedBefore + 1
      let isTold = events.changeFirst { next in
        next.droppedBefore += lost
        if oldest.followsGap { next.followsGap = true }
      }
      if isTold { return }
      dropped += lost
      if oldest.followsGap { followsGap = true }
    }
  }

  private let state: HeapLock<State>

  /// A buffer of so many events and bytes of them, at least one event.
  package init(mostEvents: Int, mostBytes: Int) {
    state = HeapLock(State(mostEvents: max(1, mostEvents), mostBytes: mostBytes))
  }

  // MARK: The loop's side

  /// An event for this consumer has come.
  package func put(_ event: HostcallEvent) {
    let waiter = state.withLock { state -> (Waiters<Next>.Continuation, HostcallEvent)? in
      guard state.ending == nil else { return nil }
      var event = event
      event.droppedBefore += state.dropped
      if state.followsGap { event.followsGap = true }
      state.dropped = 0
      state.followsGap = false
      if let waiter = state.waiters.popFirst() { return (waiter, event) }
      state.events.append(event)
      state.bytes += event.byteCount
      while state.events.count > state.mostEvents || state.bytes > state.mostBytes, state.events.count > 1 {
        state.dropOldest()
      }
      return nil
    }
    if let (waiter, event) = waiter { waiter.resume(returning: .event(event)) }
  }

  /// The daemon has dropped events of this connection, of which some may have been for this consumer.
  package func noteDropped(_ events: Int) {
    state.withLock { $0.dropped += events }
  }

  /// The connection was lost, and with it what was published meanwhile.
  package func noteGap() {
    state.withLock { $0.followsGap = true }
  }

  /// No more events come.
  package func end(_ error: HostcallError?) {
    let (waiters, next) = state.withLock { state -> ([Waiters<Next>.Continuation], Next) in
      let ending = state.ending ?? error.map(Next.failed) ?? .end
      state.ending = ending
      return (state.waiters.removeAll(), ending)
    }
    for waiter in waiters { waiter.resume(returning: next) }
  }

  // MARK: The consumer's side

  /// Tells the next event, or nil at the end, at once or on the thread that brings it; for consumers without a task.
  package func next(_ tell: @escaping @Sendable (Result<HostcallEvent?, HostcallError>) -> Void) {
    state.takeOrTell { next in
      switch next {
      case .event(let event): tell(.success(event))
      case .end: tell(.success(nil))
      case .failed(let error): tell(.failure(error))
      }
    }
  }

  /// The next event; nil at the end, and where the task is cancelled.
  func next(isolation: isolated (any Actor)?) async throws(HostcallError) -> HostcallEvent? {
    switch await state.takeOrWait(isolation: isolation) {
    case .event(let event): return event
    case .end: return nil
    case .failed(let error): throw error
    }
  }
}
