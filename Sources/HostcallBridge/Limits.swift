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
  /// Connections of one user at once. One more is told OVERLOADED and closed.
  public var connectionsPerUser = 8_192
  /// Connections of one user in a second, and at once after a quiet second. One more is told OVERLOADED and closed.
  public var connectionsPerSecondPerUser = 5_000
  /// Calls in flight that one user's connections have made. One more is OVERLOADED.
  public var callsInFlightPerUser = 65_536
  /// Calls that one user's workers hold at once; past that none is dispatched to them.
  public var runningCallsPerUser = 65_536
  /// Calls in flight in all. One more is OVERLOADED.
  public var callsInFlight = 262_144
  /// Calls that may wait for a place, for each function. One more is OVERLOADED.
  public var queuedCallsPerFunction = 1_024
  /// Calls of one connection that may wait for a place or a worker. One more is OVERLOADED.
  public var queuedCallsPerConnection = 8_192
  /// Calls of one user that may wait for a place or a worker. One more is OVERLOADED.
  public var queuedCallsPerUser = 16_384
  /// Bytes of payload and metadata kept for one user's calls. A call that would exceed it is OVERLOADED.
  public var storedPayloadBytesPerUser = 134_217_728
  /// Bytes of payload and metadata kept for calls that wait or may be sent again. A call that would exceed it is
  /// OVERLOADED.
  public var storedPayloadBytes = 268_435_456
  /// Names that one connection may have registered. One more is OVERLOADED.
  public var registrationsPerConnection = 131_072
  /// Names that one user's connections may have registered. One more is OVERLOADED.
  public var registrationsPerUser = 262_144
  /// Names and patterns that are known in all: registered, bound, subscribed to or waited for. What would add one is OVERLOADED.
  public var functions = 1_048_576
  /// Names that one connection may have bound. One more is OVERLOADED.
  public var boundHandlesPerConnection = 65_536
  /// Names that one user's connections may have bound. One more is OVERLOADED.
  public var boundHandlesPerUser = 262_144
  /// Names and patterns that one user's connections may have subscribed to. One more is OVERLOADED.
  public var subscriptionsPerUser = 16_384
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
  /// How many workers may be lost while they may be running a call that may be sent again; after so many it goes to no other,
  /// for it may be what they die of.
  public var workersLostPerCall = 2
  /// Ended calls whose end is remembered, so that a late completion can be told from a repeated or a strange one.
  public var rememberedOutcomes = 1_024
  /// Milliseconds from connecting until HELLO has to be there; who is slower is closed.
  public var helloMilliseconds = 5_000
  /// Bytes waiting to be read by a peer, past which nothing more is read from it and no call dispatched to it.
  public var outputBytesPerConnection = 8_388_608
  /// Bytes waiting to be read by a peer, past which it is closed.
  public var outputBytesBeforeClose = 67_108_864
  /// Bytes of memory for one user's frames that have not come whole, past which the connection that sends more is closed.
  public var inputBytesPerUser = 268_435_456
  /// Bytes waiting to be read by one user's connections, past which the one that gets more is closed.
  public var outputBytesPerUser = 268_435_456
  /// Open files of one user that the daemon holds on their way. A frame with one more is OVERLOADED.
  public var descriptorsPerUser = 1_024
  /// Milliseconds without a sign of life from a peer that has calls, past which it is treated as gone; after half of
  /// them it is pinged. 0 for never.
  public var livenessMilliseconds = 60_000
  /// Milliseconds that a worker may hold a call which has ended, past which its place is free again. 0 for never.
  public var abandonedMilliseconds = 300_000
  /// Milliseconds that a daemon which has ended all calls waits for its peers to read what was sent to them.
  public var lingerMilliseconds = 1_000
  /// Milliseconds in which the log says the same of one user only once; 0 for always.
  public var logRepeatMilliseconds = 10_000

  /// The defaults.
  public init() {}

  /// A limit as the configuration and `hostcall.info` know it.
  package struct Key: Sendable {
    package let name: String
    package let keyPath: any WritableKeyPath<Limits, Int> & Sendable
    /// The smallest and the largest value that make sense.
    package let range: ClosedRange<Int>
    /// For what it holds.
    package let scope: Scope

    init(
      _ name: String, _ keyPath: any WritableKeyPath<Limits, Int> & Sendable, _ range: ClosedRange<Int>,
      _ scope: Scope = .daemon
    ) {
      self.name = name
      self.keyPath = keyPath
      self.range = range
      self.scope = scope
    }
  }

  /// For what a limit holds. Those of a connection and of a user can be set for some users otherwise than for others.
  package enum Scope: Sendable {
    case daemon
    case connection
    case user
  }

  /// All of them, by their names in the configuration.
  package static let keys: [Key] = [
    Key("connections", \.connections, 1...1_000_000),
    Key("connections-per-user", \.connectionsPerUser, 1...1_000_000, .user),
    Key("connections-per-second-per-user", \.connectionsPerSecondPerUser, 1...1_000_000, .user),
    Key("frame-bytes", \.frameBytes, 1_024...1_073_741_824),
    Key("calls-in-flight", \.callsInFlight, 1...900_000),
    Key("calls-in-flight-per-connection", \.callsInFlightPerConnection, 1...1_000_000, .connection),
    Key("calls-in-flight-per-user", \.callsInFlightPerUser, 1...1_000_000, .user),
    Key("running-calls-per-user", \.runningCallsPerUser, 1...1_000_000, .user),
    Key("queued-calls-per-function", \.queuedCallsPerFunction, 0...900_000),
    Key("queued-calls-per-connection", \.queuedCallsPerConnection, 0...900_000, .connection),
    Key("queued-calls-per-user", \.queuedCallsPerUser, 0...900_000, .user),
    Key("stored-payload-bytes", \.storedPayloadBytes, 0...mostBytes),
    Key("stored-payload-bytes-per-user", \.storedPayloadBytesPerUser, 0...mostBytes, .user),
    Key("functions", \.functions, 16...mostNames),
    Key("registrations-per-connection", \.registrationsPerConnection, 0...mostNames, .connection),
    Key("registrations-per-user", \.registrationsPerUser, 0...mostNames, .user),
    Key("bound-handles-per-connection", \.boundHandlesPerConnection, 0...mostNames, .connection),
    Key("bound-handles-per-user", \.boundHandlesPerUser, 0...mostNames, .user),
    Key("subscriptions-per-connection", \.subscriptionsPerConnection, 0...mostNames, .connection),
    Key("subscriptions-per-user", \.subscriptionsPerUser, 0...mostNames, .user),
    Key("waiting-events-per-connection", \.waitingEventsPerConnection, 0...1_000_000, .connection),
    Key("waiting-event-bytes-per-connection", \.waitingEventBytesPerConnection, 0...mostBytes, .connection),
    Key("stream-items-ahead", \.streamItemsAhead, 1...1_000_000),
    Key("input-bytes-per-user", \.inputBytesPerUser, 65_536...mostBytes, .user),
    Key("output-bytes-per-connection", \.outputBytesPerConnection, 65_536...mostBytes, .connection),
    Key("output-bytes-before-close", \.outputBytesBeforeClose, 131_072...mostBytes, .connection),
    Key("output-bytes-per-user", \.outputBytesPerUser, 131_072...mostBytes, .user),
    Key("descriptors-per-user", \.descriptorsPerUser, 0...1_000_000, .user),
    Key("default-concurrency", \.defaultConcurrency, 1...1_000_000),
    Key("concurrency", \.concurrency, 1...1_000_000),
    Key("default-timeout-milliseconds", \.defaultTimeoutMilliseconds, 1...4_294_967_295),
    Key("timeout-milliseconds", \.timeoutMilliseconds, 1...4_294_967_295),
    Key("resends", \.resends, 0...100),
    Key("workers-lost-per-call", \.workersLostPerCall, 1...100),
    Key("remembered-outcomes", \.rememberedOutcomes, 1_024...100_000),
    Key("hello-milliseconds", \.helloMilliseconds, 1...600_000),
    Key("liveness-milliseconds", \.livenessMilliseconds, 0...86_400_000),
    Key("abandoned-milliseconds", \.abandonedMilliseconds, 0...86_400_000),
    Key("linger-milliseconds", \.lingerMilliseconds, 0...600_000),
    Key("log-repeat-milliseconds", \.logRepeatMilliseconds, 0...86_400_000),
  ]

  private static let mostBytes = 1_099_511_627_776
  private static let mostNames = 16_777_216
}
