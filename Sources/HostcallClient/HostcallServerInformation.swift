import HostcallWire

/// What the daemon said about itself and the connection (protocol section 4, WELCOME).
public struct HostcallServerInformation: Sendable, Hashable {
  /// The program that answers, `name/version`.
  public let server: String
  /// 32 hexadecimal digits, new for each run of the daemon.
  public let instance: String
  /// The number of this connection in this run of the daemon.
  public let session: UInt64
  /// How many calls this connection may have in flight; the daemon answers more with OVERLOADED.
  public let callsInFlight: Int
  /// Bytes of the largest body that the daemon takes: name, metadata and payload of one frame together.
  public let largestFrameBytes: Int
  /// What the daemon can do beyond version 1 of the protocol.
  public let features: [String]

  init(_ welcome: Welcome) {
    server = welcome.server
    instance = welcome.instance
    session = welcome.session
    callsInFlight = Int(welcome.callsInFlight)
    largestFrameBytes = Int(welcome.largestBodyBytes)
    features = welcome.features
  }
}
