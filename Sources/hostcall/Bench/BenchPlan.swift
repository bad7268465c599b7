/// What one run of `bench` is to do.
struct BenchPlan: Equatable, Sendable {
  /// When calls are sent.
  enum Load: Equatable, Sendable {
    /// So many calls are in flight on each connection: every answer triggers the next call.
    case closed(depth: Int)
    /// So many calls are due each second on all connections together, whether or not any are answered.
    case open(callsPerSecond: Double)
  }

  /// How long a run is that is told neither a number of calls nor a time.
  static let defaultSeconds: Double = 5
  /// Bytes of payloads that may be in flight at once; what is more is refused, or in the open loop not sent.
  static let mostBytesInFlight = 256 << 20
  /// Calls that the open loop has in flight at once, on all connections together.
  static let mostCallsInFlight = 4_096
  /// A warm-up ends after that time, however few calls it has made.
  static let longestWarmUp: Duration = .seconds(1)

  let load: Load
  let connections: Int
  /// Calls to make in all; nil where only the time ends the run.
  let calls: Int?
  /// How long calls are sent; nil where only their number ends the run.
  let seconds: Double?
  /// Bytes of each payload.
  let sizeBytes: Int
  /// How long each call may take; nil for the daemon's default.
  let timeout: Duration?
  /// Calls that are made before, and not counted.
  let warmUpCalls: Int

  /// The calls that an open loop owes.
  ///
  /// Call `i` is due `i / callsPerSecond` seconds after the start, so that a run of one second at two a second has two.
  func callsDue(callsPerSecond: Double) -> Int {
    let inTime = seconds.map { Int(($0 * callsPerSecond).rounded(.up)) } ?? .max
    return min(calls ?? .max, inTime)
  }

  /// The calls that the run makes at most, nil where only the time ends it.
  var mostCalls: Int? {
    switch load {
    case .closed: calls
    case .open(let callsPerSecond): callsDue(callsPerSecond: callsPerSecond)
    }
  }

  /// Calls in flight at once on each connection, of which the daemon allows `allowed`.
  func placesPerConnection(allowed: Int) -> Int {
    switch load {
    case .closed(let depth): depth
    case .open:
      max(
        1,
        min(allowed, Self.mostCallsInFlight / connections, Self.mostBytesInFlight / connections / max(1, sizeBytes)))
    }
  }

  /// Calls in flight at once on each connection during the warm-up.
  func warmUpDepth(places: Int) -> Int {
    switch load {
    case .closed(let depth): depth
    case .open: min(places, 16)
    }
  }
}
