/// The argument items of a call, as a handler gets them (protocol section 4, *Streams*).
///
/// ```swift
/// for try await item in request.arguments { sum += Int(item.text) ?? 0 }
/// ```
/// The caller may send only as many ahead as the worker's window has room for, and none before somebody begins to read.
/// Empty where the caller sends none. Throws ``HostcallError`` when the call ends before its last argument. Several
/// tasks may read: each item goes to one of them. Thread: any.
public struct HostcallArguments: AsyncSequence, Sendable {
  package let items: ItemReceiver
  package let port: (any CallPort)?

  /// Whether the caller sends any: the call has the flag OPEN.
  package var areSent: Bool { items !== ItemReceiver.none }

  /// The items.
  public func makeAsyncIterator() -> Iterator {
    Iterator(items: items, port: port)
  }

  /// Takes the items of one call.
  public struct Iterator: AsyncIteratorProtocol {
    let items: ItemReceiver
    let port: (any CallPort)?
    private var isOver = false

    init(items: ItemReceiver, port: (any CallPort)?) {
      self.items = items
      self.port = port
    }

    /// The next item; nil after the last.
    public mutating func next(isolation actor: isolated (any Actor)?) async throws(HostcallError) -> HostcallItem? {
      if isOver { return nil }
      // Until it comes back with an item.
      isOver = true
      let port = port
      let item = try await items.next(isolation: actor, grant: { port?.grant($0) })
      isOver = item == nil
      return item
    }
  }
}
