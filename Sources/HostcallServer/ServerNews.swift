/// What a service manager wants to hear of a server while it lives.
package enum ServerNews: Sendable, Equatable {
  /// Peers can connect and are answered.
  case serving
  /// How much goes on has changed; told once a second at most.
  case load(ServerLoad)
  /// The loop turns; told as often as ``HostcallServer/Configuration/pulseMilliseconds`` says.
  case pulse
  /// It stops, and will have ended in so many milliseconds at the latest.
  case leaving(withinMilliseconds: UInt64)
}

/// How much goes on.
package struct ServerLoad: Sendable, Equatable {
  package var connections = 0
  /// Calls without an outcome.
  package var callsInFlight = 0
}
