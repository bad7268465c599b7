import HostcallFunctions

/// What happened to a client's connection, in order; see ``HostcallClient/connectionEvents``.
public enum HostcallConnectionEvent: Sendable {
  /// The daemon has said WELCOME.
  case connected(HostcallServerInformation)
  /// The connection has ended. Registrations and subscriptions come back with the next one, if the client reconnects.
  case disconnected(HostcallError)
  /// An attempt to connect again has failed; another follows after this wait.
  case reconnectFailed(HostcallError, nextAttemptAfter: Duration)
  /// After a reconnect the daemon has not taken this registration back; another attempt follows.
  case registrationFailed(HostcallError)
  /// After a reconnect the daemon has not taken this subscription back; another attempt follows.
  case subscriptionFailed(HostcallError)
}
