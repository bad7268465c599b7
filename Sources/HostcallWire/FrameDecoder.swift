/// One frame that the decoder has found and checked.
///
/// `body` and `large` are valid until the decoder is asked for the next one; whoever holds `large` may use it for longer.
public struct DecodedFrame {
  public let header: FrameHeader
  /// Name, metadata and payload; empty where ``isTooLarge``. Of a ``large`` one only its head, with name and metadata.
  public let body: UnsafeRawBufferPointer
  // Unmanaged, for a reference would be counted with every frame on its way; the decoder holds the object.
  @usableFromInline let unmanagedLarge: Unmanaged<LargeBody>?
  public let kind: FrameKind
  /// Whether the frame exceeds the connection's `max-frame`: its body is thrown away as it comes.
  public let isTooLarge: Bool

  @inlinable
  public init(
    header: FrameHeader, kind: FrameKind, body: UnsafeRawBufferPointer, isTooLarge: Bool, large: LargeBody? = nil
  ) {
    self.header = header
    self.kind = kind
    self.body = body
    self.isTooLarge = isTooLarge
    unmanagedLarge = large.map { Unmanaged.passUnretained($0) }
  }

  /// Whether it is so large that its body has memory of its own.
  @inlinable
  public var isLarge: Bool { unmanagedLarge != nil }

  /// The whole body, where it is so large that it has memory of its own.
  @inlinable
  public var large: LargeBody? { unmanagedLarge?.takeUnretainedValue() }

  // Where the frame is too large, its header tells sizes of parts that are not there.

  @inlinable
  public var name: UnsafeRawBufferPointer {
    isTooLarge ? body : UnsafeRawBufferPointer(rebasing: body[..<nameEnd])
  }

  @inlinable
  public var metadata: UnsafeRawBufferPointer {
    isTooLarge ? body : UnsafeRawBufferPointer(rebasing: body[nameEnd..<metadataEnd])
  }

  /// Not of a ``large`` body, which lies in several pieces.
  @inlinable
  public var payload: UnsafeRawBufferPointer {
    precondition(!isLarge, "the payload of a large body does not lie in one piece")
    return isTooLarge ? body : UnsafeRawBufferPointer(rebasing: body[metadataEnd...])
  }

  @inlinable
  var nameEnd: Int { Int(header.nameBytes) }

  @inlinable
  var metadataEnd: Int { nameEnd + Int(header.metadataBytes) }
}

/// Takes the bytes of one connection in any fragmentation and gives back whole, checked frames (protocol sections 2
/// and 3).
///
/// Bytes are lent by ``begin(_:)``, frames taken by ``next()`` until it gives nil, and what is left of a frame whose
/// end has not come is kept by ``end()``. Frames that lie whole in the lent bytes are never copied. A frame is refused
/// as soon as its header shows that it breaks a rule. Memory grows with the bytes that came, never with what a length
/// field asks for.
///
/// With a source of segments, the body of a large frame gets memory of its own, see ``LargeBody``. Once a good part of it
/// has come, its owner may read the rest straight into that memory: ``room(upTo:)``, ``didRead(_:)``.
package struct FrameDecoder: ~Copyable {
  private let direction: FrameDirection
  /// The largest body taken, in bytes: the connection's `max-frame`.
  package let largestBodyBytes: UInt32
  /// The smallest body that gets memory of its own, in bytes.
  private let smallestLargeBodyBytes: UInt32
  private let segments: (any SegmentSource)?
  /// A body of so many bytes is refused, or gets memory of its own.
  private let fewestBytesOfUncommonBody: UInt32
  /// The frame whose end has not come, or the one that was given out last.
  private var kept: FrameBytes?
  /// What small frames are kept in, while there is none: in a busy time most reads end within one.
  private var spare: FrameBytes?
  /// Whether the kept frame was given out, so that the next step lets it go.
  private var keptIsGivenOut = false
  /// The kept frame's header once it is there and checked.
  private var keptHeader: (header: FrameHeader, kind: FrameKind)?
  /// Bytes of a too large body that are still to come.
  private var bytesToSkip: UInt64 = 0
  private var lent = UnsafeRawBufferPointer(start: nil, count: 0)
  private var position = 0
  /// The frame that was found last.
  package private(set) var frame = DecodedFrame(
    header: FrameHeader(kind: .ping), kind: .ping, body: UnsafeRawBufferPointer(start: nil, count: 0), isTooLarge: false
  )

  /// A decoder for what comes in this direction.
  ///
  /// - Parameter segments: where the memory for bodies of large frames comes from; without it they are like others.
  package init(direction: FrameDirection, largestBodyBytes: UInt32, segments: (any SegmentSource)? = nil) {
    self.direction = direction
    self.largestBodyBytes = largestBodyBytes
    self.segments = segments
    smallestLargeBodyBytes = segments?.smallestLargeBodyBytes ?? .max
    fewestBytesOfUncommonBody = min(smallestLargeBodyBytes, largestBodyBytes)
  }

  /// Bytes of memory that are kept for a frame whose end has not come: as many as have come, and of a large one up to a
  /// segment more.
  package var keptBytes: Int { kept?.heldByteCount ?? 0 }

  /// Bytes that are still to come of a large frame, if its owner may read them into ``room(upTo:)``; else 0.
  package var missingLargeBytes: Int {
    guard let large = kept?.large, let (header, _) = keptHeader, !keptIsGivenOut else { return 0 }
    return Int(header.bodyBytes) - large.count
  }

  /// Room for the next bytes of the connection, as it lies in memory, in order: up to `byteCount`, and no more than
  /// ``missingLargeBytes``. Not between ``begin(_:)`` and ``end()``. ``didRead(_:)`` follows.
  package mutating func room(upTo byteCount: Int) -> [UnsafeMutableRawBufferPointer] {
    kept?.large?.room(min(byteCount, missingLargeBytes)) ?? []
  }

  /// So many bytes have been read into the room, none of them past it.
  ///
  /// If the frame is whole now, ``next()`` gives it after a ``begin(_:)`` with the bytes behind it, if only none.
  package mutating func didRead(_ byteCount: Int) {
    kept?.large?.didFill(byteCount)
  }

  /// Whether everything that was lent belongs to frames that have come whole.
  package var isBetweenFrames: Bool {
    position == lent.count && bytesToSkip == 0 && (kept == nil || keptIsGivenOut)
  }

  /// Lends bytes until ``end()``.
  package mutating func begin(_ bytes: UnsafeRawBufferPointer) {
    lent = bytes
    position = 0
  }

  /// The next whole frame, or nil where more bytes are needed.
  ///
  /// After an error the connection cannot be decoded any further.
  package mutating func next() throws(ProtocolViolation) -> DecodedFrame? {
    try advance() ? frame : nil
  }

  /// The same, for whoever wants to look at the frame where it is: ``frame``, until the decoder is asked for the next one
  /// or is not lent these bytes any more.
  package mutating func advance() throws(ProtocolViolation) -> Bool {
    // Most frames are calls by a handle, or completions, that lie whole in the lent bytes.
    let left = lent.count &- position
    guard left >= FrameHeader.byteCount, let base = lent.baseAddress, kept == nil, bytesToSkip == 0 else {
      return try advanceInFull()
    }
    let start = base + position
    let header = FrameHeader(loading: start)
    guard header.nameBytes | header.metadataBytes == 0, header.bodyBytes < fewestBytesOfUncommonBody,
      left >= header.frameBytes, let kind = FrameRules.kindOfCommonHeader(header, direction: direction),
      kind.nameRule == .unused || kind.nameRule == .optionalName
    else { return try advanceInFull() }
    position &+= header.frameBytes
    frame = DecodedFrame(
      header: header, kind: kind,
      body: UnsafeRawBufferPointer(start: start + FrameHeader.byteCount, count: Int(header.bodyBytes)),
      isTooLarge: false)
    return true
  }

  @inline(never)
  private mutating func advanceInFull() throws(ProtocolViolation) -> Bool {
    guard let next = try nextInFull() else { return false }
    frame = next
    return true
  }

  private mutating func nextInFull() throws(ProtocolViolation) -> DecodedFrame? {
    if kept != nil || bytesToSkip > 0 {
      if let frame = try finishKept() { return frame }
      if kept != nil || bytesToSkip > 0 { return nil }
    }
    let left = lent.count - position
    guard left >= FrameHeader.byteCount, let base = lent.baseAddress else { return nil }
    let header = FrameHeader(loading: base + position)
    let kind = try FrameRules.checkHeader(header, direction: direction)
    if header.bodyBytes > largestBodyBytes {
      position += FrameHeader.byteCount
      bytesToSkip = UInt64(header.bodyBytes)
      skip()
      return tooLarge(header, kind)
    }
    if header.bodyBytes >= smallestLargeBodyBytes, hasComeFarEnough(header, bytes: left) {
      keep(FrameHeader.byteCount)
      keptHeader = (header, kind)
      return try finishKept()
    }
    guard left >= header.frameBytes else { return nil }
    let start = position + FrameHeader.byteCount
    position += header.frameBytes
    let body = UnsafeRawBufferPointer(start: base + start, count: Int(header.bodyBytes))
    try FrameRules.checkBody(body, header: header, kind: kind, direction: direction)
    return DecodedFrame(header: header, kind: kind, body: body, isTooLarge: false)
  }

  /// Keeps what is left of the lent bytes, which are not touched any more after it.
  package mutating func end() {
    letGoOfGivenOut()
    if position < lent.count, bytesToSkip == 0 {
      keep(lent.count - position)
    }
    lent = UnsafeRawBufferPointer(start: nil, count: 0)
    position = 0
  }

  /// What has come of a frame whose end has not, and how many bytes of a too large one are still to be thrown away: for a
  /// decoder that takes this one's place, see ``resume(_:)``. Not between ``begin(_:)`` and ``end()``.
  package var unfinished: (bytes: [UInt8], bytesToSkip: UInt64) { (kept?.allBytes ?? [], bytesToSkip) }

  /// Goes on where another decoder has stopped; before anything else.
  ///
  /// Errors: the bytes are no beginning of a frame.
  package mutating func resume(_ unfinished: (bytes: [UInt8], bytesToSkip: UInt64)) throws(ProtocolViolation) {
    bytesToSkip = unfinished.bytesToSkip
    var isWhole = false
    var violation: ProtocolViolation?
    unfinished.bytes.withUnsafeBytes { bytes in
      begin(bytes)
      do throws(ProtocolViolation) { isWhole = try advance() } catch { violation = error }
      end()
    }
    if let violation { throw violation }
    if isWhole { throw ProtocolViolation("a whole frame stands where the beginning of one should") }
  }

  /// Goes on with a frame that began in earlier bytes.
  private mutating func finishKept() throws(ProtocolViolation) -> DecodedFrame? {
    letGoOfGivenOut()
    skip()
    guard let kept else { return nil }
    if kept.count < FrameHeader.byteCount {
      keep(min(FrameHeader.byteCount - kept.count, lent.count - position))
      guard kept.count == FrameHeader.byteCount else { return nil }
    }
    if keptHeader == nil {
      let header = FrameHeader(loading: kept.start)
      let kind = try FrameRules.checkHeader(header, direction: direction)
      if header.bodyBytes > largestBodyBytes {
        self.kept = nil
        bytesToSkip = UInt64(header.bodyBytes)
        skip()
        return tooLarge(header, kind)
      }
      keptHeader = (header, kind)
    }
    guard let kept = self.kept, let (header, kind) = keptHeader else { return nil }
    if kept.large == nil, header.bodyBytes >= smallestLargeBodyBytes, let segments,
      hasComeFarEnough(header, bytes: kept.count + lent.count - position)
    {
      kept.beginLarge(segments)
    }
    keep(min(header.frameBytes - kept.count, lent.count - position))
    guard kept.count == header.frameBytes else { return nil }
    keptIsGivenOut = true
    let body =
      kept.large?.head
      ?? UnsafeRawBufferPointer(start: kept.start + FrameHeader.byteCount, count: Int(header.bodyBytes))
    try FrameRules.checkBody(body, header: header, kind: kind, direction: direction)
    return DecodedFrame(header: header, kind: kind, body: body, isTooLarge: false, large: kept.large)
  }

  /// Whether so many bytes of a frame, its header among them, are enough to give its body segments: with a quarter of one
  /// no more than four times what has come is held.
  private func hasComeFarEnough(_ header: FrameHeader, bytes: Int) -> Bool {
    guard let segments else { return false }
    let segmentByteCount = segments.segmentByteCount
    return bytes - FrameHeader.byteCount >= min(segmentByteCount / 4, Int(header.bodyBytes))
      && Int(header.nameBytes) + Int(header.metadataBytes) <= segmentByteCount
  }

  private func tooLarge(_ header: FrameHeader, _ kind: FrameKind) -> DecodedFrame {
    let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
    return DecodedFrame(header: header, kind: kind, body: nothing, isTooLarge: true)
  }

  private mutating func letGoOfGivenOut() {
    guard keptIsGivenOut else { return }
    if let kept, kept.isSmall {
      kept.removeAll()
      spare = kept
    }
    kept = nil
    keptHeader = nil
    keptIsGivenOut = false
  }

  private mutating func skip() {
    let skipped = min(bytesToSkip, UInt64(lent.count - position))
    position += Int(skipped)
    bytesToSkip -= skipped
  }

  private mutating func keep(_ byteCount: Int) {
    guard byteCount > 0 else { return }
    let frame = kept ?? spare ?? FrameBytes()
    spare = nil
    kept = frame
    frame.append(UnsafeRawBufferPointer(rebasing: lent[position..<(position + byteCount)]))
    position += byteCount
  }
}

/// The bytes of a frame that came in pieces.
///
/// It doubles as bytes come, so that a length field alone costs nothing, until the body gets memory of its own.
private final class FrameBytes {
  private(set) var start: UnsafeMutableRawPointer
  /// Bytes that have come, those of the large body among them.
  var count: Int { ownCount + (large?.count ?? 0) }
  private(set) var large: LargeBody?
  private var ownCount = 0
  private var capacity = 256

  init() {
    start = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit {
    start.deallocate()
  }

  /// Whether it is worth keeping for the next frame.
  var isSmall: Bool { large == nil && capacity <= 4_096 }

  /// Forgets what has come and keeps the memory.
  func removeAll() {
    ownCount = 0
  }

  /// All that has come, in one piece.
  var allBytes: [UInt8] {
    Array(UnsafeRawBufferPointer(start: start, count: ownCount))
      + (large.map { $0.runs(from: 0, byteCount: $0.count).flatMap { Array($0) } } ?? [])
  }

  /// Bytes of memory that grow with what has come.
  var heldByteCount: Int { ownCount + (large?.heldByteCount ?? 0) }

  /// From now on the body goes to segments, and what has come of it is moved there.
  func beginLarge(_ segments: any SegmentSource) {
    let large = LargeBody(source: segments)
    self.large = large
    guard ownCount > FrameHeader.byteCount else { return }
    large.append(
      UnsafeRawBufferPointer(start: start + FrameHeader.byteCount, count: ownCount - FrameHeader.byteCount))
    ownCount = FrameHeader.byteCount
    let header = UnsafeMutableRawPointer.allocate(byteCount: ownCount, alignment: 16)
    header.copyMemory(from: start, byteCount: ownCount)
    start.deallocate()
    start = header
    capacity = ownCount
  }

  func append(_ bytes: UnsafeRawBufferPointer) {
    if let large { return large.append(bytes) }
    if ownCount + bytes.count > capacity {
      capacity = max(capacity * 2, ownCount + bytes.count)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      larger.copyMemory(from: start, byteCount: ownCount)
      start.deallocate()
      start = larger
    }
    if let base = bytes.baseAddress {
      (start + ownCount).copyMemory(from: base, byteCount: bytes.count)
    }
    ownCount += bytes.count
  }
}
