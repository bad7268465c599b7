import HostcallBridge
import HostcallLoop
import HostcallWire

/// One peer's socket, what has come of it, and what goes to it. Belongs to the loop thread.
///
/// - reading: frames are taken as they come. To paused when more waits to be read by the peer than the limit allows; to
///   closed.
/// - paused: nothing is read until the peer has read. To reading, closed.
/// - closed: the bridge knows that the peer is gone.
final class Connection {
  let peer: PeerID
  let stream: SocketStream
  let credentials: PeerCredentials
  /// The unit of the service manager that the peer belongs to, for the log, where that is known.
  var unit: String?
  /// At an address of its own, for as long as this object is there.
  let decoder = UnsafeMutablePointer<FrameDecoder>.allocate(capacity: 1)
  /// Whether the bridge was told that too much waits to be read by the peer.
  var isBacklogged = false
  var isPaused = false
  // What each frame or turn passes through is not checked for overlapping accesses, see ``ServerCore``.
  @exclusivity(unchecked) var share = TurnShare()
  @exclusivity(unchecked) var isClosed = false
  /// Bytes of a frame that has not come whole, as the bridge knows it.
  @exclusivity(unchecked) var keptBytes = 0
  /// Whether such a frame is so large that what is missing of it is read straight to where it stays.
  @exclusivity(unchecked) var readsLarge = false
  /// Descriptors that came with a frame which has not come whole.
  var begunDescriptors: ChargedDescriptors?
  /// Bytes waiting to be read by the peer, past which nothing more is read from it, and past which it is closed.
  let outputBytesBeforePause: Int
  let outputBytesBeforeClose: Int
  /// Why it ends, for the log.
  var reason = "the peer closed the connection"

  init(
    peer: PeerID, stream: SocketStream, credentials: PeerCredentials, limits: Limits,
    largestBodyBytes: UInt32? = nil, segments: any SegmentSource
  ) {
    self.peer = peer
    self.stream = stream
    self.credentials = credentials
    outputBytesBeforePause = limits.outputBytesPerConnection
    outputBytesBeforeClose = limits.outputBytesBeforeClose
    decoder.initialize(
      to: FrameDecoder(
        direction: .toDaemon, largestBodyBytes: largestBodyBytes ?? UInt32(limits.frameBytes), segments: segments))
  }

  deinit {
    decoder.deinitialize(count: 1)
    decoder.deallocate()
  }

  /// Appends a frame as the bridge has put it together, with `incoming` or `large` as the body that was handed in.
  func append(
    _ frame: OutgoingFrame, _ actions: borrowing ActionBuffer, incoming: UnsafeRawBufferPointer, large: LargeBody?
  ) {
    if frame.sourceBytes >= Self.fewestLargeBytes, let (large, start) = actions.large(of: frame, incoming: large) {
      return append(frame, actions, sharing: large, from: start)
    }
    if frame.descriptors != .none { return appendWithDescriptors(frame, actions, incoming: incoming) }
    stream.appendFrame(byteCount: frame.header.frameBytes) { room in
      Self.write(frame, actions, incoming: incoming, to: room)
    }
  }

  private func appendWithDescriptors(
    _ frame: OutgoingFrame, _ actions: borrowing ActionBuffer, incoming: UnsafeRawBufferPointer
  ) {
    let passed = Self.descriptors(of: frame, actions)
    stream.appendFrame(byteCount: frame.header.frameBytes, descriptors: passed) { room in
      Self.write(frame, actions, incoming: incoming, to: room)
    }
  }

  /// Bytes of the smallest part of a large body that a frame can have: only the name may be left out, which is shorter
  /// than 256.
  static let fewestLargeBytes = SegmentPool.smallestLargeBodyBytes - 256

  private func append(
    _ frame: OutgoingFrame, _ actions: borrowing ActionBuffer, sharing large: LargeBody, from start: Int
  ) {
    stream.appendFrame(
      byteCount: FrameHeader.byteCount + Int(frame.prefixBytes),
      descriptors: frame.descriptors == .none ? nil : Self.descriptors(of: frame, actions),
      sharing: large.runs(from: start, byteCount: Int(frame.sourceBytes)), of: large
    ) { room in
      guard let position = room.baseAddress else { return }
      frame.header.store(to: position)
      actions.withPrefix(of: frame) { prefix in
        if let bytes = prefix.baseAddress {
          (position + FrameHeader.byteCount).copyMemory(from: bytes, byteCount: prefix.count)
        }
      }
    }
  }

  private static func descriptors(of frame: OutgoingFrame, _ actions: borrowing ActionBuffer) -> PassedDescriptors {
    let charged = actions.descriptors[Int(frame.descriptors)] as? ChargedDescriptors
    guard let passed = charged?.passed else { preconditionFailure("descriptors that cannot be passed on are sent") }
    return passed
  }

  @inline(__always)
  private static func write(
    _ frame: OutgoingFrame, _ actions: borrowing ActionBuffer, incoming: UnsafeRawBufferPointer,
    to room: UnsafeMutableRawBufferPointer
  ) {
    guard let start = room.baseAddress else { return }
    frame.header.store(to: start)
    actions.withParts(of: frame, incoming: incoming) { prefix, rest in
      let body = start + FrameHeader.byteCount
      if let bytes = prefix.baseAddress { body.copyMemory(from: bytes, byteCount: prefix.count) }
      if let bytes = rest.baseAddress { (body + prefix.count).copyMemory(from: bytes, byteCount: rest.count) }
    }
  }
}

extension PeerIdentity {
  /// Who a peer is, as the kernel has told.
  init(_ credentials: PeerCredentials) {
    self.init(
      userID: credentials.userID, groupID: credentials.groupID, groupIDs: credentials.groupIDs,
      processID: credentials.processID)
  }
}

/// Room for what one read brings. Belongs to the loop thread.
final class ReadBuffer {
  let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: TurnShare.mostBytes, alignment: 4_096)

  deinit {
    bytes.deallocate()
  }
}
