package import HostcallWire

/// A frame to be written: header, then `prefix` out of the buffer's own bytes, then a part of `body`.
package struct OutgoingFrame: Sendable, BitwiseCopyable {
  /// Where the second part of the body comes from.
  package enum Source: Sendable, BitwiseCopyable {
    /// The body of the frame that the shell has just handed in.
    case incoming
    /// A body that the bridge had kept, by its place in ``ActionBuffer/bodies``.
    case stored(Slot)
  }

  package let peer: PeerID
  package let header: FrameHeader
  package let prefixStart: UInt32
  package let prefixBytes: UInt32
  package let source: Source
  package let sourceStart: UInt32
  package let sourceBytes: UInt32
  /// The place of what goes with it in ``ActionBuffer/descriptors``; none where nothing does.
  package let descriptors: Slot
}

/// What the shell has to do about one or more facts, before it lets go of the frame that it handed in: send the frames,
/// tell the log of limits that were met, and then close connections.
///
/// The caller owns it and uses it again, so that a steady state allocates nothing.
package struct ActionBuffer: ~Copyable {
  /// Frames to append to what goes to their peers, in this order. One for a peer that is not there any more is passed
  /// over.
  package private(set) var frames: [OutgoingFrame] = []
  /// Peers whose connection is to be closed, when what waits for them was written out; the shell then reports them as
  /// gone.
  package private(set) var closings: [PeerID] = []
  /// Limits that somebody has met, for the log.
  package private(set) var limitsMet: [LimitNotice] = []
  /// Bytes that the bridge wrote itself: names, the daemon's metadata, sentences for people.
  package private(set) var bytes: [UInt8] = []
  package private(set) var bodies: [StoredBody] = []
  /// Open files that go with frames.
  package private(set) var descriptors: [any FrameDescriptors] = []

  package init() {}

  package var isEmpty: Bool { frames.isEmpty && closings.isEmpty && limitsMet.isEmpty }

  /// Forgets what was carried out and keeps the memory.
  package mutating func removeAll() {
    frames.removeAll(keepingCapacity: true)
    if !closings.isEmpty { closings.removeAll(keepingCapacity: true) }
    if !limitsMet.isEmpty { limitsMet.removeAll(keepingCapacity: true) }
    if !bytes.isEmpty { bytes.removeAll(keepingCapacity: true) }
    if !bodies.isEmpty { bodies.removeAll(keepingCapacity: true) }
    if !descriptors.isEmpty { descriptors.removeAll(keepingCapacity: true) }
  }

  /// The bytes of a frame as the shell writes them; `incoming` is the body of the frame that was handed in.
  package func withParts(
    of frame: OutgoingFrame, incoming: UnsafeRawBufferPointer,
    _ use: (_ prefix: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer) -> Void
  ) {
    bytes.withUnsafeBytes { bytes in
      let prefix = UnsafeRawBufferPointer(
        rebasing: bytes[Int(frame.prefixStart)..<Int(frame.prefixStart + frame.prefixBytes)])
      let body =
        switch frame.source {
        case .incoming: incoming
        case .stored(let place): bodies[Int(place)].bytes
        }
      let start = Int(frame.sourceStart)
      use(prefix, UnsafeRawBufferPointer(rebasing: body[start..<(start + Int(frame.sourceBytes))]))
    }
  }

  /// Where the next bytes that the bridge writes will begin.
  var end: Int { bytes.count }

  mutating func write(_ text: String) {
    bytes.append(contentsOf: text.utf8)
  }

  mutating func write(_ name: [UInt8]) {
    bytes.append(contentsOf: name)
  }

  mutating func writeMetadata(_ key: String, _ value: String) {
    Metadata.encode(key: key, value: value, into: &bytes)
  }

  mutating func keep(_ body: StoredBody) -> Slot {
    bodies.append(body)
    return Slot(bodies.count - 1)
  }

  mutating func keep(_ descriptors: any FrameDescriptors) -> Slot {
    self.descriptors.append(descriptors)
    return Slot(self.descriptors.count - 1)
  }

  mutating func append(_ frame: OutgoingFrame) {
    frames.append(frame)
  }

  mutating func close(_ peer: PeerID) {
    closings.append(peer)
  }

  mutating func tell(_ notice: LimitNotice) {
    limitsMet.append(notice)
  }
}
