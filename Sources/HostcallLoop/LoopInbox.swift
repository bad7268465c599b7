/// What other threads have handed to a loop, in the order in which they did, and how far the loop's life has come.
///
/// Kept under a lock by `EventLoop`.
struct LoopInbox {
  /// One thing to do on the loop thread.
  enum Item {
    case job(UnownedJob)
    case work(@Sendable () -> Void)
  }

  /// How a new item is brought to the attention of someone who runs it.
  enum Phase {
    /// The loop sleeps or does I/O: the first item wakes it. To `draining`, to `ending`.
    case waiting
    /// The loop runs items and looks again before it goes on: nothing to do. To `waiting`, to `ending`.
    case draining
    /// The wake-up is closed; the loop thread looks once more after its last turn. To `ended`.
    case ending
    /// There is no loop thread: a stand-in thread is started. To `standIn`.
    case ended
    /// A stand-in thread runs items, and looks again before it ends. To `ended`.
    case standIn
  }

  /// What the one who put an item in has to do, while still holding the lock.
  enum Signal {
    case nothing
    case wakeLoop
    case startStandIn
  }

  private(set) var items: ContiguousArray<Item> = []
  var phase = Phase.waiting
  var stopIsRequested = false
  /// Those who wait for the loop to end.
  var stopWaiters: [CheckedContinuation<Void, Never>] = []

  mutating func put(_ item: Item) -> Signal {
    items.append(item)
    switch phase {
    case .waiting: return items.count == 1 ? .wakeLoop : .nothing
    case .draining, .ending, .standIn: return .nothing
    case .ended:
      phase = .standIn
      return .startStandIn
    }
  }

  /// Exchanges the items for an empty array, whose capacity the next items use: no allocation in the steady state.
  mutating func take(_ empty: inout ContiguousArray<Item>) {
    swap(&items, &empty)
  }
}
