import HostcallWire

/// What a soak has come to, in numbers.
package struct SoakCounts: Sendable {
  package var calls = 0
  package var invocations = 0
  package var invocationsLost = 0
  package var completionsAccepted = 0
  package var completionsLate = 0
  package var rejections = 0
  package var strayCompletions = 0
  package var withoutReply = 0
  package var abandonedByCaller = 0
  /// By status.
  package var outcomes: [UInt8: Int] = [:]
  package var items = 0
  package var files = 0
  package var eventsPublished = 0
  package var eventsReceived = 0
  package var eventsDropped = 0
  package var connections = 0
  package var connectionsLost = 0
  package var peersKilled = 0
  package var wildConnections = 0
  package var programsStarted = 0
  package var programsKilled = 0
  package var rounds = 0
  /// Of the daemon.
  package var restarts = 0
}
