/// The events of a name or pattern, as they come (protocol section 4, *Events*).
///
/// ```swift
/// for try await event in try await client.events("door.*") { print(event.name, event.text) }
/// ```
/// The subscription lasts until this and all its iterators are let go of. A consumer that is slower than the events
/// loses the oldest of those that wait for it, and the next event says how many. After a lost connection the client
/// subscribes again, and the next event says that some may be missing.
///
/// It ends when the client or server is closed or the task is cancelled, and throws ``HostcallError`` when it ended for
/// another reason. Several tasks may iterate: each event goes to one of them. Thread: any.
public struct HostcallEvents: AsyncSequence, Sendable {
  let consumer: EventConsumer

  /// The events of a consumer that has been subscribed.
  package init(_ consumer: EventConsumer) {
    self.consumer = consumer
  }

  /// The events from now on.
  public func makeAsyncIterator() -> Iterator {
    Iterator(consumer: consumer)
  }

  /// Takes events.
  public struct Iterator: AsyncIteratorProtocol {
    let consumer: EventConsumer
    private var isOver = false

    init(consumer: EventConsumer) {
      self.consumer = consumer
    }

    /// The next event; nil at the end, and after an error.
    public mutating func next(isolation actor: isolated (any Actor)?) async throws(HostcallError) -> HostcallEvent? {
      if isOver { return nil }
      // Until it comes back with an event.
      isOver = true
      let event = try await consumer.buffer.next(isolation: actor)
      isOver = event == nil
      return event
    }
  }
}

/// A consumer of events, as long as anybody can take some.
package final class EventConsumer: Sendable {
  let buffer: EventBuffer
  private let whenGone: @Sendable (EventBuffer) -> Void

  /// - Parameter whenGone: called when nobody can take events any more.
  package init(_ buffer: EventBuffer, whenGone: @escaping @Sendable (EventBuffer) -> Void) {
    self.buffer = buffer
    self.whenGone = whenGone
  }

  deinit {
    whenGone(buffer)
  }
}
