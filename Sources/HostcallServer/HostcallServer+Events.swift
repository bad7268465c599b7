public import HostcallFunctions
public import HostcallWire

extension HostcallServer {
  /// Subscribes to a name or pattern; the events come out of what it returns (protocol section 4, *Events*).
  ///
  /// ```swift
  /// for try await event in try await server.events("door.*") { print(event.name, event.text) }
  /// ```
  /// Everything published from then on comes. Consumers of the same pattern share one subscription.
  ///
  /// - Parameter pattern: a name, a pattern such as `door.*`, or `*`. The daemon's own events are below `hostcall.`.
  /// - Throws: ``HostcallError``: INVALID_ARGUMENT, OVERLOADED, `closed`.
  public func events(_ pattern: String) async throws(HostcallError) -> HostcallEvents {
    try PatternRules.check(pattern)
    let core = core
    let buffer = EventBuffer(
      mostEvents: core.configuration.waitingEvents, mostBytes: core.configuration.waitingEventBytes)
    let consumer = EventConsumer(buffer) { buffer in core.enter { $0.unsubscribe(buffer, from: pattern) } }
    try await core.subscribe(buffer, to: pattern)
    return HostcallEvents(consumer)
  }

  /// Publishes an event, and says how many subscribers there were (protocol section 4, *Events*).
  ///
  /// - Parameters:
  ///   - name: the name, such as `door.opened`; those below `hostcall.` are the daemon's.
  ///   - payload: `[UInt8]`, `String`, or another ``HostcallPayload``.
  ///   - encoding: what the payload's bytes are, if not what its type says.
  ///   - metadata: goes to the subscribers. Keys that begin with `hostcall-` are refused.
  /// - Throws: ``HostcallError``: INVALID_ARGUMENT, TOO_LARGE, `closed`.
  @discardableResult
  public func publish(
    _ name: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    metadata: Metadata = [:]
  ) async throws(HostcallError) -> Int {
    try await core.publish(
      PublicationParameters(name: name, payload, encoding: encoding, metadata: metadata))
  }

  /// Publishes an event and wants no answer; parameters are those of `publish`.
  public func publishAndForget(
    _ name: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    metadata: Metadata = [:]
  ) async throws(HostcallError) {
    try await core.publishAndForget(
      PublicationParameters(name: name, payload, encoding: encoding, metadata: metadata))
  }
}
