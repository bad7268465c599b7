import HostcallBridge
import HostcallFunctions
import HostcallWire

/// A frame that the bridge sends to a peer in this process, with a body of its own.
struct LocalFrame {
  let peer: PeerID
  let header: FrameHeader
  let body: [UInt8]
  let descriptors: HostcallDescriptors

  init(
    _ frame: OutgoingFrame, _ actions: borrowing ActionBuffer, incoming: UnsafeRawBufferPointer, large: LargeBody?
  ) {
    peer = frame.peer
    header = frame.header
    var body: [UInt8] = []
    body.reserveCapacity(Int(frame.header.bodyBytes))
    if let (large, start) = actions.large(of: frame, incoming: large) {
      actions.withPrefix(of: frame) { body.append(contentsOf: $0) }
      for run in large.runs(from: start, byteCount: Int(frame.sourceBytes)) { body.append(contentsOf: run) }
    } else {
      actions.withParts(of: frame, incoming: incoming) { prefix, rest in
        body.append(contentsOf: prefix)
        body.append(contentsOf: rest)
      }
    }
    self.body = body
    if frame.descriptors == .none {
      descriptors = .none
    } else {
      descriptors = HostcallDescriptors((actions.descriptors[Int(frame.descriptors)] as? ChargedDescriptors)?.passed)
    }
  }

  /// The frame with its parts, for as long as `use` runs.
  func withDecoded<Result>(_ use: (DecodedFrame) -> Result) -> Result {
    guard let kind = header.kind else { preconditionFailure("the bridge sends a frame without a kind") }
    return body.withUnsafeBytes { use(DecodedFrame(header: header, kind: kind, body: $0, isTooLarge: false)) }
  }
}
