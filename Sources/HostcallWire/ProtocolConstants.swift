/// Numbers that the protocol itself fixes; what may be configured is in the daemon's limits.
package enum ProtocolConstants {
  /// The one version spoken (section 8).
  package static let version: UInt32 = 1
  /// Milliseconds that `timeout` 0 in CALL stands for, by default (section 4, *Calling*).
  package static let defaultTimeoutMilliseconds: UInt32 = 30_000
  /// Bytes of the longest name or pattern (section 2).
  package static let longestNameBytes = 255
  /// Bytes of the longest metadata key (section 2).
  package static let longestMetadataKeyBytes = 64
  /// Bytes of the longest payload of PING and PONG (section 4).
  package static let longestPingBytes = 64
  /// Descriptors that one frame may carry (section 4, *Descriptors*).
  package static let mostDescriptors = 16
  /// The beginning of the names of built-in functions and events (section 7).
  package static let reservedNamePrefix = "hostcall."
  /// The beginning of the metadata keys that the daemon alone writes (section 2).
  package static let reservedKeyPrefix = "hostcall-"
}
