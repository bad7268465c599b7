/// The frames that open a connection (protocol section 4, HELLO and WELCOME).
package enum Greeting {
  /// The first frame of a peer.
  ///
  /// - Parameter client: who it is, for the daemon's tools: `name/version`.
  package static func hello(client: String, features: [String] = []) -> [UInt8] {
    var metadata: Metadata = ["client": client]
    if !features.isEmpty { metadata["features"] = features.joined(separator: ",") }
    let header = FrameHeader(
      kind: .hello, id: FrameHeader.helloID, function: ProtocolConstants.version, aux: ProtocolConstants.version)
    return FrameEncoder.encode(header, metadata: metadata)
  }
}

/// What WELCOME tells a peer.
package struct Welcome: Sendable, Equatable {
  /// The number of this connection in this run of the daemon, not 0.
  package let session: UInt64
  /// How many calls the connection may have in flight.
  package let callsInFlight: UInt32
  /// The program that answers, `name/version`.
  package let server: String
  /// 32 hexadecimal digits, new for each run of the daemon.
  package let instance: String
  /// Bytes of the largest body that the daemon takes.
  package let largestBodyBytes: UInt32
  /// What the daemon can do beyond version 1.
  package let features: [String]

  /// Reads a WELCOME that has been checked; nil where `max-frame` is missing or no number.
  package init?(_ frame: DecodedFrame) {
    let metadata = Metadata(decoding: frame.metadata)
    guard let largest = metadata["max-frame"].flatMap(UInt32.init) else { return nil }
    session = frame.header.id
    callsInFlight = frame.header.aux
    server = metadata["server"] ?? ""
    instance = metadata["instance"] ?? ""
    largestBodyBytes = largest
    features = (metadata["features"] ?? "").split { $0 == "," || $0 == " " }.map(String.init)
  }
}
