package import HostcallWire

/// A limit that somebody has met, for the log.
package struct LimitNotice: Sendable, Equatable {
  /// Who met it.
  package let identity: PeerIdentity
  /// The limit's name in the configuration.
  package let limit: String
  /// What holds.
  package let value: Int
}

/// Why a connection is not taken.
package struct ConnectionRefusal: Error, Sendable, Equatable {
  /// What GOAWAY says.
  package let status: Status
  /// A sentence for people.
  package let reason: String
  /// Which limit was met, nil where it was none.
  package let notice: LimitNotice?
}
