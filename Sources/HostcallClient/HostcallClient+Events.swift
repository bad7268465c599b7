public import HostcallFunctions
public import HostcallWire

extension HostcallClient {
  /// Subscribes to a name or pattern; the events come out of what it returns (protocol section 4, *Events*).
  ///
  /// ```swift
  /// for try await event in try await client.events("door.*") { print(event.name, event.text) }
  /// ```
  /// Returns when the daemon has taken the subscription: everything published from then on comes. Consumers of the same
  /// pattern share one subscription. After a lost connection the client subscribes again, see ``ReconnectPolicy``.
  ///
  /// - Parameter pattern: a name, a pattern such as `door.*`, or `*`. The daemon's own events are below `hostcall.`.
  /// - Throws: ``HostcallError``: INVALID_ARGUMENT, DENIED, OVERLOADED, UNAVAILABLE where the daemon has no events,
  ///   `connectionLost`.
  public func events(_ pattern: String) async throws(HostcallError) -> HostcallEvents {
    try PatternRules.check(pattern)
    let connection = connection
    let buffer = EventBuffer(
      mostEvents: configuration.waitingEvents, mostBytes: configuration.waitingEventBytes)
    // From here on its end is noticed, also where the task is cancelled or the daemon refuses.
    let consumer = EventConsumer(buffer) { buffer in
      connection.enter { $0.unsubscribe(buffer, from: pattern) }
    }
    let error = await withCheckedContinuation { continuation in
      connection.enter { $0.subscribe(buffer, to: pattern) { continuation.resume(returning: $0) } }
    }
    if let error { throw error }
    return HostcallEvents(consumer)
  }

  /// Publishes an event, and says how many subscribers there were (protocol section 4, *Events*).
  ///
  /// It reaches those who have subscribed by now, in the order in which this client publishes. A subscriber that is too
  /// slow may lose it.
  ///
  /// - Parameters:
  ///   - name: the name, such as `door.opened`; those below `hostcall.` are the daemon's.
  ///   - payload: `[UInt8]`, `String`, or another ``HostcallPayload``.
  ///   - encoding: what the payload's bytes are, if not what its type says.
  ///   - metadata: goes to the subscribers. Keys that begin with `hostcall-` are refused.
  /// - Throws: ``HostcallError``: INVALID_ARGUMENT, DENIED, TOO_LARGE, OVERLOADED, UNAVAILABLE where the daemon has no
  ///   events, `connectionLost`.
  @discardableResult
  public func publish(
    _ name: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    metadata: Metadata = [:]
  ) async throws(HostcallError) -> Int {
    try await publish(
      PublicationParameters(name: name, payload, encoding: encoding, metadata: metadata),
      wantsAnswer: true)
  }

  /// Publishes an event and wants no answer; parameters are those of `publish`.
  ///
  /// Returns when it is on its way to the daemon, which may refuse it without a word.
  /// - Throws: ``HostcallError`` where it could not be sent.
  public func publishAndForget(
    _ name: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    metadata: Metadata = [:]
  ) async throws(HostcallError) {
    _ = try await publish(
      PublicationParameters(name: name, payload, encoding: encoding, metadata: metadata),
      wantsAnswer: false)
  }

  private func publish(_ parameters: PublicationParameters, wantsAnswer: Bool) async throws(HostcallError) -> Int {
    let connection = connection
    return try await withCheckedContinuation { continuation in
      connection.enter {
        $0.publish(
          OutgoingPublication(parameters: parameters, wantsAnswer: wantsAnswer) { continuation.resume(returning: $0) })
      }
    }.get()
  }
}
