import HostcallLoop
package import HostcallWire

/// The items of one stream on their way from whoever makes them to the loop, no more of them than there is credit for
/// (protocol section 4, *Streams*).
///
/// Who sends waits while there is no credit, while the loop has not taken what was handed in, and while the loop holds
/// the stream back because the socket does not take more. Several tasks may send; they wait in order.
///
/// Thread: any.
package final class ItemSender: Sendable {
  /// An item that may be written.
  package struct Item: Sendable {
    package let place: UInt32
    package let payload: ArraySlice<UInt8>
    package let encoding: PayloadEncoding
    package let isLast: Bool
  }

  /// Bytes that may be handed in before the loop has taken them; one item may exceed it.
  static let largestPendingBytes = 64 << 10

  /// A turn to send, or why there is none.
  private typealias Turn = Result<Void, HostcallError>

  private struct State: WaitedFor {
    var credit: UInt64
    var nextPlace: UInt32 = 0
    var pending: [Item] = []
    var pendingBytes = 0
    var isHeld = false
    /// Why no more items can be sent; nil while they can.
    var ending: HostcallError?
    var waiters = Waiters<Turn>()

    /// A turn where nobody has waited longer; it has spent a credit.
    mutating func take() -> Turn? {
      if let ending { return .failure(ending) }
      return waiters.isEmpty && spend() ? .success(()) : nil
    }

    var valueWhenCancelled: Turn { .failure(ending ?? ItemSender.cancelled) }

    /// Spends one credit, if an item may be sent now.
    mutating func spend() -> Bool {
      guard credit > 0, !isHeld, pendingBytes < ItemSender.largestPendingBytes else { return false }
      credit -= 1
      return true
    }

    /// Those of the waiters that may send now; each has spent a credit.
    mutating func released() -> [Waiters<Turn>.Continuation] {
      var released: [Waiters<Turn>.Continuation] = []
      while !waiters.isEmpty, spend(), let waiter = waiters.popFirst() { released.append(waiter) }
      return released
    }
  }

  private let state: HeapLock<State>

  /// A stream with so many items of credit.
  package init(credit: UInt32) {
    state = HeapLock(State(credit: UInt64(credit)))
  }

  // MARK: The sender's side

  /// Waits until one item may be sent, and keeps that for the ``put(_:encoding:isLast:)`` that has to follow. A bare end
  /// needs none of it.
  ///
  /// Errors: the stream's end, or CANCELLED where the task is cancelled.
  package func reserve(isolation: isolated (any Actor)? = #isolation) async throws(HostcallError) {
    try await state.takeOrWait(isolation: isolation).get()
  }

  /// The same for senders without a task: told once, at once or on the thread that brings the turn.
  package func reserve(_ tell: @escaping @Sendable (Result<Void, HostcallError>) -> Void) {
    state.takeOrTell(tell)
  }

  /// Hands in an item; true where the loop has to be told that there are some.
  ///
  /// Errors: the stream's end.
  package func put(
    _ payload: ArraySlice<UInt8>, encoding: PayloadEncoding, isLast: Bool = false
  ) throws(HostcallError) -> Bool {
    let (ending, isFirst) = state.withLock { state -> (HostcallError?, Bool) in
      if let ending = state.ending { return (ending, false) }
      state.pending.append(Item(place: state.nextPlace, payload: payload, encoding: encoding, isLast: isLast))
      state.nextPlace &+= 1
      state.pendingBytes += FrameHeader.byteCount + payload.count
      return (nil, state.pending.count == 1)
    }
    if let ending { throw ending }
    return isFirst
  }

  private static var cancelled: HostcallError {
    HostcallError(.status(.cancelled), message: "the task was cancelled while it waited to send an item")
  }

  // MARK: The loop's side

  /// CREDIT has come.
  package func addCredit(_ items: UInt32) {
    // A sum past 64 bits would take more credit than can be sent in a century.
    release { $0.credit += UInt64(items) }
  }

  /// What is to be written, in order.
  package func takePending() -> [Item] {
    var items: [Item] = []
    release { state in
      items = state.pending
      state.pending = []
      state.pendingBytes = 0
    }
    return items
  }

  /// Lets nobody send, or lets them again.
  package func hold(_ isHeld: Bool) {
    release { $0.isHeld = isHeld }
  }

  /// What has ended the stream is known to whoever comes from now on; who waits is told by ``end(_:)``, or by the
  /// cancellation of its task.
  package func close(_ error: HostcallError) {
    state.withLock { state in
      guard state.ending == nil else { return }
      state.ending = error
      state.pending = []
    }
  }

  /// No more items can be sent; who waits or comes later gets the error.
  package func end(_ error: HostcallError) {
    close(error)
    let (waiters, ending) = state.withLock { state in (state.waiters.removeAll(), state.ending ?? error) }
    for waiter in waiters { waiter.resume(returning: .failure(ending)) }
  }

  private func release(_ change: (inout State) -> Void) {
    let released = state.withLock { state in
      change(&state)
      return state.ending == nil ? state.released() : []
    }
    for waiter in released { waiter.resume(returning: .success(())) }
  }
}
