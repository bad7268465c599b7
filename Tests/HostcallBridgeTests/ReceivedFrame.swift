import HostcallWire

@testable import HostcallBridge

/// A frame that a peer has got, out of the bytes that the daemon would have written.
struct ReceivedFrame: Equatable, CustomStringConvertible {
  var kind: FrameKind
  var header: FrameHeader
  var name: String
  var metadata: Metadata
  var payload: [UInt8]

  init(_ frame: DecodedFrame) {
    kind = frame.kind
    header = frame.header
    name = String(decoding: frame.name, as: UTF8.self)
    metadata = Metadata(decoding: frame.metadata)
    payload = Array(frame.payload)
  }

  var id: UInt64 { header.id }
  var status: Status { header.status }
  var flags: FrameFlags { header.flags }
  var text: String { String(decoding: payload, as: UTF8.self) }

  var description: String {
    "\(kind) id \(id) \(status) [\(flags)] function \(header.function) timeout \(header.timeoutMilliseconds) "
      + "aux \(header.aux) name “\(name)” metadata \(metadata.entries.map { "\($0.key)=\($0.value)" }) "
      + "payload of \(payload.count) bytes “\(FrameRules.printable(payload))”"
  }
}

/// A frame that the bridge has sent, and where it ends in the stream of bytes to its peer.
struct SentFrame {
  let peer: PeerID
  let frame: ReceivedFrame
  let end: Int
}

extension FrameRules {
  static func printable(_ bytes: [UInt8]) -> String {
    bytes.withUnsafeBytes { printable($0) }
  }
}
