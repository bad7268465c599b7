import HostcallLoop
package import HostcallWire

/// The items of one stream on their way from the loop to their consumer, bounded by the credit that was given for them
/// (protocol section 4, *Streams*).
///
/// The loop puts items in and ends the stream; consumers, usually one, take them out in order and give new credit. Items
/// that came before the end are taken before it.
///
/// Thread: any.
package final class ItemReceiver: Sendable {
  /// What a consumer gets.
  private enum Next: Sendable {
    case item(HostcallItem)
    case end
    case failed(HostcallError)
  }

  /// What follows the items that are there.
  ///
  /// Not an optional ``Next``: to tell that it is nil optimised code compares the padding of its payloads.
  private enum Ending {
    /// More may come. To both others.
    case open
    /// Nothing: the stream is complete. The end.
    case complete
    /// An error. The end.
    case failed(HostcallError)

    init(_ error: HostcallError?) {
      self = error.map(Ending.failed) ?? .complete
    }

    var isOpen: Bool {
      if case .open = self { true } else { false }
    }
  }

  /// What becomes of items that come.
  private enum Use {
    /// They are kept for the consumer. To `dropping`, `abandoned`.
    case keeping
    /// They are dropped and count as taken: only the outcome is waited for. To `abandoned`.
    case dropping
    /// They are dropped, and no more are wanted: the call is being cancelled. The end.
    case abandoned
  }

  private struct State: WaitedFor {
    let window: Int
    var items = Queue<HostcallItem>()
    /// How many more the sender may send.
    var credit: Int
    /// Whether the consumer says itself how many more may come.
    var isGrantedByHand = false
    var nextPlace: UInt32 = 0
    var use = Use.keeping
    var ending = Ending.open
    var waiters = Waiters<Next>()

    /// What a consumer can have now, nil where it has to wait.
    mutating func take() -> Next? {
      if let item = items.popFirst() { return .item(item) }
      switch ending {
      case .open: return nil
      // Some items may be missing, so it is not the end that it seems.
      case .complete: return use == .abandoned ? .failed(ItemReceiver.cancelled) : .end
      case .failed(let error): return .failed(error)
      }
    }

    var valueWhenCancelled: Next {
      switch ending {
      case .open: .failed(ItemReceiver.cancelled)
      case .complete: .end
      case .failed(let error): .failed(error)
      }
    }

    /// Gives what the window has room for, once that is half of it.
    mutating func creditDue() -> UInt32 {
      guard ending.isOpen, use != .abandoned, !isGrantedByHand else { return 0 }
      let room = window - items.count - credit
      guard room >= (window + 1) / 2 else { return 0 }
      credit += room
      return UInt32(room)
    }
  }

  private let state: HeapLock<State>

  /// A stream whose sender may send `credit` items to begin with, and `window` at once later.
  package init(window: Int, credit: Int) {
    state = HeapLock(State(window: window, credit: credit))
  }

  /// A stream that has come whole.
  package convenience init(_ items: [HostcallItem], error: HostcallError? = nil) {
    self.init(window: items.count, credit: items.count)
    state.withLock { state in
      for item in items { state.items.append(item) }
    }
    end(error)
  }

  /// The arguments of a call that has none.
  static let none = ItemReceiver([])

  private static var cancelled: HostcallError {
    HostcallError(.status(.cancelled), message: "the task that takes its items was cancelled")
  }

  // MARK: The loop's side

  /// An ITEM has come. Gives back how many more are to be granted at once, which is 0 while a consumer does that.
  ///
  /// Errors: it came without credit, out of order, or after the last one. An empty item with LAST is only the end and
  /// takes no credit.
  package func put(_ frame: DecodedFrame) throws(ProtocolViolation) -> UInt32 {
    let isLast = frame.header.flags.has(.last)
    let isItem = !(isLast && frame.header.payloadBytes == 0)
    enum Step {
      case broken(String)
      case done(Waiters<Next>.Continuation?, Next, isLast: Bool, due: UInt32)
    }
    let item = HostcallItem(frame)
    let place = frame.header.aux
    let step = state.withLock { state -> Step in
      // The call is over here and the daemon has not heard of it yet.
      if state.use == .abandoned { return .done(nil, .end, isLast: isLast, due: 0) }
      if !state.ending.isOpen { return .broken("ITEM after the last one") }
      guard place == state.nextPlace else { return .broken("ITEM at the place \(place), not \(state.nextPlace)") }
      guard isItem else { return .done(nil, .end, isLast: true, due: 0) }
      guard state.credit > 0 else { return .broken("ITEM without credit") }
      state.credit -= 1
      state.nextPlace &+= 1
      if state.use == .dropping { return .done(nil, .end, isLast: isLast, due: state.creditDue()) }
      if let waiter = state.waiters.popFirst() { return .done(waiter, .item(item), isLast: isLast, due: 0) }
      state.items.append(item)
      return .done(nil, .end, isLast: isLast, due: 0)
    }
    switch step {
    case .broken(let reason): throw ProtocolViolation(reason)
    case .done(let waiter, let next, let isLast, let due):
      waiter?.resume(returning: next)
      if isLast { end(nil) }
      return due
    }
  }

  /// What has ended the stream is known to whoever looks from now on; who waits is told by ``end(_:)``, or by the
  /// cancellation of its task.
  package func close(_ error: HostcallError) {
    state.withLock { state in
      if state.ending.isOpen { state.ending = .failed(error) }
    }
  }

  /// No more items come: the stream is complete, or what it belongs to has ended with an error.
  package func end(_ error: HostcallError?) {
    let waiters = state.withLock { state -> [(Waiters<Next>.Continuation, Next)] in
      if state.ending.isOpen { state.ending = Ending(error) }
      var waiters: [(Waiters<Next>.Continuation, Next)] = []
      while !state.waiters.isEmpty, let next = state.take(), let waiter = state.waiters.popFirst() {
        waiters.append((waiter, next))
      }
      return waiters
    }
    for (waiter, next) in waiters { waiter.resume(returning: next) }
  }

  // MARK: The consumer's side

  /// The next item; nil at the end.
  ///
  /// - Parameters:
  ///   - grant: told how many more items may come, before it waits.
  ///   - cancel: called when the task is cancelled, and then has to bring about the end, which is waited for; nil where
  ///     the wait alone ends, with CANCELLED.
  package func next(
    isolation: isolated (any Actor)? = #isolation, grant: (UInt32) -> Void, cancel: (@Sendable () -> Void)? = nil
  ) async throws(HostcallError) -> HostcallItem? {
    if cancel != nil, Task.isCancelled { abandon() }
    let (ready, due) = state.withLock { state in (state.take(), state.creditDue()) }
    if due > 0 { grant(due) }
    let next = if let ready { ready } else { await wait(isolation: isolation, cancel: cancel) }
    switch next {
    case .item(let item): return item
    case .end: return nil
    case .failed(let error): throw error
    }
  }

  /// Tells the next item, or nil at the end, at once or on the thread that brings it; for consumers without a task, which
  /// grant by hand.
  package func next(_ tell: @escaping @Sendable (Result<HostcallItem?, HostcallError>) -> Void) {
    state.takeOrTell { next in
      switch next {
      case .item(let item): tell(.success(item))
      case .end: tell(.success(nil))
      case .failed(let error): tell(.failure(error))
      }
    }
  }

  /// From now on more items may come only where ``grantByHand(_:)`` says so.
  package func beginGrantingByHand() {
    state.withLock { $0.isGrantedByHand = true }
  }

  /// So many more items may come; false where none will, so that they are not to be granted.
  package func grantByHand(_ items: UInt32) -> Bool {
    state.withLock { state in
      guard state.ending.isOpen, state.use == .keeping else { return false }
      state.credit = min(state.credit + Int(items), ItemWindow.largestCredit)
      return true
    }
  }

  /// Drops what is there, and from now on what comes.
  ///
  /// It counts as taken, so the stream runs to its end. Gives back how many more items are to be granted.
  package func dropRest() -> UInt32 {
    state.withLock { state in
      guard state.use == .keeping else { return 0 }
      state.use = .dropping
      _ = state.items.removeAll()
      return state.creditDue()
    }
  }

  /// Drops what is there and grants nothing any more; what still comes is passed over.
  package func abandon() {
    state.withLock { state in
      state.use = .abandoned
      _ = state.items.removeAll()
    }
  }

  private func wait(isolation: isolated (any Actor)?, cancel: (@Sendable () -> Void)?) async -> Next {
    guard let cancel else { return await state.takeOrWait(isolation: isolation) }
    return await state.takeOrWait(isolation: isolation) {
      self.abandon()
      cancel()
    }
  }
}
