/// Every limit of the bridge: a name, a default and a unit each, all of them keys of the configuration's `[limits]`.
///
/// Meeting one is an answer to whoever met it, never a crash and never silence.
public struct Limits: Sendable, Equatable {
  /// Connections at once. One more is told OVERLOADED and closed.
  public var connections = 10_000
  /// Bytes of the largest body of a frame, `max-frame` in WELCOME. A larger CALL or COMPLETE ends in TOO_LARGE.
  public var frameBytes = 16_777_216
  /// Calls that one connection may have in flight, `aux` in WELCOME. One more is OVERLOADED.
  public var callsInFlightPerConnection = 16_384
  /// Calls in flight in all. One more is OVERLOADED.
  public var callsInFlight = 262_144
  /// Calls that may wait for a place, for each function. One more is OVERLOADED.
  public var queuedCallsPerFunction = 1_024
  /// Bytes of payload and metadata kept for calls that wait or may be sent again. A call that would exceed it is
  /// OVERLOADED.
  public var storedPayloadBytes = 268_435_456
  /// Names that one connection may have registered. One more is OVERLOADED.
  public var registrationsPerConnection = 131_072
  /// Names and patterns that are known in all: registered, bound, subscribed to or waited for. What would add one is OVERLOADED.
  public var functions = 1_048_576
  /// Names that one connection may have bound. One more is OVERLOADED.
  public var boundHandlesPerConnection = 65_536
  /// Names and patterns that one connection may have subscribed to. One more is OVERLOADED.
  public var subscriptionsPerConnection = 4_096
  /// Events that wait for a subscriber to read; past that the oldest are dropped.
  public var waitingEventsPerConnection = 1_024
  /// Bytes of events that wait for a subscriber to read; past that the oldest are dropped.
  public var waitingEventBytesPerConnection = 4_194_304
  /// Items of one call that may be sent ahead of the credit which a receiver that reads goes on to give.
  public var streamItemsAhead = 1_024
  /// Calls that a worker runs at once for a name where its REGISTER does not say.
  public var defaultConcurrency = 64
  /// Calls that a worker may run at once for a name; a REGISTER that says more gets this.
  public var concurrency = 65_535
  /// Milliseconds until the deadline of a CALL that does not say.
  public var defaultTimeoutMilliseconds = 30_000
  /// Milliseconds; a CALL that says more gets this.
  public var timeoutMilliseconds = 3_600_000
  /// How often a call may be sent again after its worker was lost.
  public var resends = 2
  /// Ended calls whose end is remembered, so that a late completion can be told from a repeated or a strange one.
  public var rememberedOutcomes = 1_024
  /// Milliseconds from connecting until HELLO has to be there; who is slower is closed.
  public var helloMilliseconds = 5_000
  /// Bytes waiting to be read by a peer, past which nothing more is read from it and no call dispatched to it.
  public var outputBytesPerConnection = 8_388_608
  /// Bytes waiting to be read by a peer, past which it is closed.
  public var outputBytesBeforeClose = 67_108_864
  /// Milliseconds that a daemon which has ended all calls waits for its peers to read what was sent to them.
  public var lingerMilliseconds = 1_000

  /// The defaults.
  public init() {}

  /// A limit as the configuration and `hostcall.info` know it.
  package struct Key: Sendable {
    package let name: String
    package let keyPath: any WritableKeyPath<Limits, Int> & Sendable
    /// The smallest and the largest value that make sense.
    package let range: ClosedRange<Int>
  }

  /// All of them, by their names in the configuration.
  package static let keys: [Key] = [
    Key(name: "connections", keyPath: \.connections, range: 1...1_000_000),
    Key(name: "frame-bytes", keyPath: \.frameBytes, range: 1_024...1_073_741_824),
    Key(name: "calls-in-flight-per-connection", keyPath: \.callsInFlightPerConnection, range: 1...1_000_000),
    Key(name: "calls-in-flight", keyPath: \.callsInFlight, range: 1...900_000),
    Key(name: "queued-calls-per-function", keyPath: \.queuedCallsPerFunction, range: 0...900_000),
    Key(name: "stored-payload-bytes", keyPath: \.storedPayloadBytes, range: 0...1_099_511_627_776),
    Key(name: "registrations-per-connection", keyPath: \.registrationsPerConnection, range: 0...16_777_216),
    Key(name: "functions", keyPath: \.functions, range: 16...16_777_216),
    Key(name: "bound-handles-per-connection", keyPath: \.boundHandlesPerConnection, range: 0...16_777_216),
    Key(name: "subscriptions-per-connection", keyPath: \.subscriptionsPerConnection, range: 0...16_777_216),
    Key(name: "waiting-events-per-connection", keyPath: \.waitingEventsPerConnection, range: 0...1_000_000),
    Key(
      name: "waiting-event-bytes-per-connection", keyPath: \.waitingEventBytesPerConnection,
      range: 0...1_099_511_627_776),
    Key(name: "stream-items-ahead", keyPath: \.streamItemsAhead, range: 1...1_000_000),
    Key(name: "default-concurrency", keyPath: \.defaultConcurrency, range: 1...1_000_000),
    Key(name: "concurrency", keyPath: \.concurrency, range: 1...1_000_000),
    Key(name: "default-timeout-milliseconds", keyPath: \.defaultTimeoutMilliseconds, range: 1...4_294_967_295),
    Key(name: "timeout-milliseconds", keyPath: \.timeoutMilliseconds, range: 1...4_294_967_295),
    Key(name: "resends", keyPath: \.resends, range: 0...100),
    Key(name: "remembered-outcomes", keyPath: \.rememberedOutcomes, range: 1_024...100_000),
    Key(name: "hello-milliseconds", keyPath: \.helloMilliseconds, range: 1...600_000),
    Key(name: "output-bytes-per-connection", keyPath: \.outputBytesPerConnection, range: 65_536...1_099_511_627_776),
    Key(name: "output-bytes-before-close", keyPath: \.outputBytesBeforeClose, range: 131_072...1_099_511_627_776),
    Key(name: "linger-milliseconds", keyPath: \.lingerMilliseconds, range: 0...600_000),
  ]
}
