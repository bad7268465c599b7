import HostcallLoop

/// The result items of a call as they come, and then its outcome (protocol section 4, *Streams*).
///
/// ```swift
/// for try await item in client.stream("numbers", "1000000") { print(item.text) }
/// ```
/// The call begins at once. The worker sends only as many items ahead as the stream's window has room for, so a slow
/// consumer slows the worker, and nobody else. The loop ends when the call has succeeded, and throws ``HostcallError``
/// when it has not; items that came before are handed out first.
///
/// Leaving the loop early, cancelling the task, or letting go of the stream cancels the call, also in the worker. A
/// stream can be iterated once. Thread: any.
public struct HostcallStream: AsyncSequence, Sendable {
  let call: StreamedCall

  /// Begins a call; where it cannot be made, the stream fails.
  package init(_ begin: () throws(HostcallError) -> StreamedCall) {
    do throws(HostcallError) {
      call = try begin()
    } catch {
      let outcome = PendingOutcome()
      outcome.come(.failure(error))
      call = StreamedCall(items: ItemReceiver([], error: error), outcome: outcome, port: nil)
    }
  }

  /// The call's result, once it has ended: what the worker's handler returned after its last item.
  ///
  /// Outside of the loop it drops the items that nobody has taken, so it may be all that is wanted of a stream.
  /// - Throws: ``HostcallError``, as the loop does.
  public var response: HostcallResponse {
    get async throws(HostcallError) { try await call.response() }
  }

  /// The items. Only the first iterator gets any.
  public func makeAsyncIterator() -> Iterator {
    Iterator(call)
  }

  /// Takes the items of one stream; when it goes before the end, the call is cancelled.
  public final class Iterator: AsyncIteratorProtocol {
    private let call: StreamedCall
    private let isFirst: Bool
    private var isOver = false

    init(_ call: StreamedCall) {
      self.call = call
      isFirst = call.beginIterating()
    }

    deinit {
      if isFirst, !isOver { call.cancel() }
    }

    /// The next item; nil when the call has succeeded, and after an error.
    public func next() async throws(HostcallError) -> HostcallItem? {
      try await next(isolation: nil)
    }

    /// The next item, without leaving the actor that asks for it.
    public func next(isolation actor: isolated (any Actor)?) async throws(HostcallError) -> HostcallItem? {
      if isOver { return nil }
      do throws(HostcallError) {
        guard isFirst else {
          throw HostcallError(.invalidArgument, message: "a stream can be iterated once, and this one has been")
        }
        let item = try await call.next(isolation: actor)
        isOver = item == nil
        return item
      } catch {
        isOver = true
        throw error
      }
    }
  }
}

/// A call of which the caller takes items, as long as anyone can want them.
///
/// The connection does not hold it, so that the last reference to it is a consumer's.
package final class StreamedCall: Sendable {
  private let items: ItemReceiver
  private let outcome: PendingOutcome
  private let port: (any CallerPort)?
  private let hasIterator = HeapLock(false)

  /// A call that has begun: the connection ends `items`, and then tells the `outcome`.
  init(items: ItemReceiver, outcome: PendingOutcome, port: (any CallerPort)?) {
    self.items = items
    self.outcome = outcome
    self.port = port
  }

  deinit {
    cancel()
  }

  /// Whether it is the first time.
  func beginIterating() -> Bool {
    hasIterator.withLock { hasIterator in
      defer { hasIterator = true }
      return !hasIterator
    }
  }

  func next(isolation: isolated (any Actor)?) async throws(HostcallError) -> HostcallItem? {
    let port = port
    return try await items.next(isolation: isolation, grant: { port?.grant($0) }, cancel: { port?.cancel(nil) })
  }

  func response() async throws(HostcallError) -> HostcallResponse {
    if beginIterating() {
      let due = items.dropRest()
      if due > 0 { port?.grant(due) }
    }
    let (outcome, port) = (outcome, port)
    return try await withTaskCancellationHandler {
      await outcome.wait()
    } onCancel: {
      port?.cancel(nil)
    }.get()
  }

  func cancel() {
    items.abandon()
    port?.cancel(nil)
  }
}
