public import HostcallWire

/// A frame to be written: header, then `prefix` out of the buffer's own bytes, then a part of `body`.
public struct OutgoingFrame: Sendable, BitwiseCopyable {
  /// Where the second part of the body comes from.
  public enum Source: Sendable, BitwiseCopyable {
    /// The body of the frame that the shell has just handed in.
    case incoming
    /// A body that the bridge had kept, by its place in ``ActionBuffer/bodies``.
    case stored(Slot)
  }

  public let peer: PeerID
  public let header: FrameHeader
  public let prefixStart: UInt32
  public let prefixBytes: UInt32
  public let source: Source
  public let sourceStart: UInt32
  public let sourceBytes: UInt32
  /// The place of what goes with it in ``ActionBuffer/descriptors``; none where nothing does.
  public let descriptors: Slot

  /// Whether it is nothing but its header and a part of the body that the shell has just handed in.
  @inlinable
  public var isPlain: Bool {
    guard case .incoming = source else { return false }
    return prefixBytes == 0 && descriptors == .none
  }
}

/// What the shell has to do about one or more facts, before it lets go of the frame that it handed in: send the frames,
/// tell the log of limits that were met, and then close connections.
///
/// The caller owns it and uses it again, so that a steady state allocates nothing.
///
/// Unsafe pointers' rule: there is room for `frameCapacity` frames at `frameStart`, and the first `frameCount` are there.
public struct ActionBuffer: ~Copyable {
  // Not an Array, which looks each time it is emptied who else has it.
  @usableFromInline private(set) var frameStart: UnsafeMutablePointer<OutgoingFrame>
  private var frameCapacity = 16
  @usableFromInline var frameCount = 0
  /// Peers whose connection is to be closed, when what waits for them was written out; the shell then reports them as
  /// gone.
  package private(set) var closings: [PeerID] = []
  /// Limits that somebody has met, for the log.
  package private(set) var limitsMet: [LimitNotice] = []
  /// Steps of calls, for the log.
  package private(set) var callNotices: [CallNotice] = []
  /// Bytes that the bridge wrote itself: names, the daemon's metadata, sentences for people.
  @usableFromInline package private(set) var bytes: [UInt8] = []
  @usableFromInline package private(set) var bodies: [StoredBody] = []
  /// Open files that go with frames.
  package private(set) var descriptors: [any FrameDescriptors] = []

  /// Whether there is anything besides frames without bytes of the bridge's own, which is rare.
  @usableFromInline package private(set) var hasMore = false

  package init() {
    frameStart = .allocate(capacity: frameCapacity)
  }

  deinit {
    frameStart.deallocate()
  }

  /// Frames to append to what goes to their peers, in this order, until this buffer is changed. One for a peer that is not
  /// there any more is passed over.
  @inlinable
  public var frames: UnsafeBufferPointer<OutgoingFrame> {
    UnsafeBufferPointer(start: frameStart, count: frameCount)
  }

  @inlinable
  public var isEmpty: Bool { frameCount == 0 && !hasMore }

  /// Forgets what was carried out and keeps the memory.
  @inlinable
  public mutating func removeAll() {
    frameCount = 0
    if hasMore { removeTheRest() }
  }

  @usableFromInline
  mutating func removeTheRest() {
    hasMore = false
    if !closings.isEmpty { closings.removeAll(keepingCapacity: true) }
    if !limitsMet.isEmpty { limitsMet.removeAll(keepingCapacity: true) }
    if !callNotices.isEmpty { callNotices.removeAll(keepingCapacity: true) }
    if !bytes.isEmpty { bytes.removeAll(keepingCapacity: true) }
    if !bodies.isEmpty { bodies.removeAll(keepingCapacity: true) }
    if !descriptors.isEmpty { descriptors.removeAll(keepingCapacity: true) }
  }

  /// The large body of which the last part of a frame is a part, from `sourceStart` of the frame on; nil where it is none.
  ///
  /// - Parameter incoming: the large body that was handed in, if it was one.
  package func large(of frame: OutgoingFrame, incoming: LargeBody?) -> (body: LargeBody, start: Int)? {
    guard frame.sourceBytes > 0 else { return nil }
    switch frame.source {
    case .incoming: return incoming.map { ($0, Int(frame.sourceStart)) }
    case .stored(let place):
      guard let large = bodies[Int(place)].large else { return nil }
      return (large, large.count - bodies[Int(place)].byteCount + Int(frame.sourceStart))
    }
  }

  /// The bytes of a frame that the bridge wrote itself.
  package func withPrefix(of frame: OutgoingFrame, _ use: (UnsafeRawBufferPointer) -> Void) {
    bytes.withUnsafeBytes { bytes in
      use(UnsafeRawBufferPointer(rebasing: bytes[Int(frame.prefixStart)..<Int(frame.prefixStart + frame.prefixBytes)]))
    }
  }

  /// The bytes of a frame as the shell writes them; `incoming` is the body of the frame that was handed in. Not for a
  /// frame with a part of a large body.
  @inlinable @inline(__always)
  public func withParts(
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
    hasMore = true
    bytes.append(contentsOf: text.utf8)
  }

  mutating func write(_ name: [UInt8]) {
    hasMore = true
    bytes.append(contentsOf: name)
  }

  mutating func writeMetadata(_ key: String, _ value: String) {
    hasMore = true
    Metadata.encode(key: key, value: value, into: &bytes)
  }

  mutating func keep(_ body: StoredBody) -> Slot {
    hasMore = true
    bodies.append(body)
    return Slot(bodies.count - 1)
  }

  @inline(never)
  mutating func keep(_ descriptors: (any FrameDescriptors)?) -> Slot {
    guard let descriptors else { return .none }
    hasMore = true
    self.descriptors.append(descriptors)
    return Slot(self.descriptors.count - 1)
  }

  mutating func append(_ frame: OutgoingFrame) {
    if frameCount == frameCapacity { growFrames() }
    (frameStart + frameCount).initialize(to: frame)
    frameCount += 1
  }

  private mutating func growFrames() {
    let larger = UnsafeMutablePointer<OutgoingFrame>.allocate(capacity: frameCapacity * 2)
    larger.moveInitialize(from: frameStart, count: frameCount)
    frameStart.deallocate()
    frameStart = larger
    frameCapacity *= 2
  }

  mutating func close(_ peer: PeerID) {
    hasMore = true
    closings.append(peer)
  }

  mutating func tell(_ notice: CallNotice) {
    hasMore = true
    callNotices.append(notice)
  }

  mutating func tell(_ notice: LimitNotice) {
    hasMore = true
    limitsMet.append(notice)
  }
}
