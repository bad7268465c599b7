/// What one peer, or thousands of one user, can do to a daemon.
package enum FloodKind: String, CaseIterable, Sendable {
  /// Connections that greet and then say nothing.
  case connections
  /// Connections that send the half of a greeting, byte by byte.
  case halfHeaders = "half-headers"
  /// Names, registered as fast as they are taken, and held.
  case registrations
  /// A caller that sends calls and never reads.
  case deafCaller = "deaf-caller"
  /// One user who holds all that its limits let it have, and asks for more of each.
  case limits

  /// How many of what.
  package func usualCount(isShort: Bool) -> Int {
    switch self {
    case .connections: isShort ? 200 : 5_000
    case .halfHeaders: isShort ? 100 : 3_000
    case .registrations: isShort ? 2_000 : 100_000
    case .deafCaller: isShort ? 2_000 : 1_000_000
    case .limits: 1
    }
  }
}
