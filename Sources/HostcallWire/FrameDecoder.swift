/// One frame that the decoder has found and checked.
///
/// `body` is valid until the decoder is asked for the next one.
public struct DecodedFrame {
  public let header: FrameHeader
  public let kind: FrameKind
  /// Name, metadata and payload; empty where ``isTooLarge``.
  public let body: UnsafeRawBufferPointer
  /// Whether the frame exceeds the connection's `max-frame`: its body is thrown away as it comes.
  public let isTooLarge: Bool

  @inlinable
  public init(header: FrameHeader, kind: FrameKind, body: UnsafeRawBufferPointer, isTooLarge: Bool) {
    self.header = header
    self.kind = kind
    self.body = body
    self.isTooLarge = isTooLarge
  }

  // Where the frame is too large, its header tells sizes of parts that are not there.

  @inlinable
  public var name: UnsafeRawBufferPointer {
    isTooLarge ? body : UnsafeRawBufferPointer(rebasing: body[..<nameEnd])
  }

  @inlinable
  public var metadata: UnsafeRawBufferPointer {
    isTooLarge ? body : UnsafeRawBufferPointer(rebasing: body[nameEnd..<metadataEnd])
  }

  @inlinable
  public var payload: UnsafeRawBufferPointer {
    isTooLarge ? body : UnsafeRawBufferPointer(rebasing: body[metadataEnd...])
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
package struct FrameDecoder {
  private let direction: FrameDirection
  /// The largest body taken, in bytes: the connection's `max-frame`.
  private let largestBodyBytes: UInt32
  /// The frame whose end has not come, or the one that was given out last.
  private var kept: FrameBytes?
  /// Whether the kept frame was given out, so that the next step lets it go.
  private var keptIsGivenOut = false
  /// The kept frame's header once it is there and checked.
  private var keptHeader: (header: FrameHeader, kind: FrameKind)?
  /// Bytes of a too large body that are still to come.
  private var bytesToSkip: UInt64 = 0
  private var lent = UnsafeRawBufferPointer(start: nil, count: 0)
  private var position = 0

  /// A decoder for what comes in this direction.
  package init(direction: FrameDirection, largestBodyBytes: UInt32) {
    self.direction = direction
    self.largestBodyBytes = largestBodyBytes
  }

  /// Bytes that are kept for a frame whose end has not come.
  package var keptBytes: Int { kept?.count ?? 0 }

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
    guard let (header, kind) = keptHeader else { return nil }
    keep(min(header.frameBytes - kept.count, lent.count - position))
    guard kept.count == header.frameBytes else { return nil }
    keptIsGivenOut = true
    let body = UnsafeRawBufferPointer(start: kept.start + FrameHeader.byteCount, count: Int(header.bodyBytes))
    try FrameRules.checkBody(body, header: header, kind: kind, direction: direction)
    return DecodedFrame(header: header, kind: kind, body: body, isTooLarge: false)
  }

  private func tooLarge(_ header: FrameHeader, _ kind: FrameKind) -> DecodedFrame {
    let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
    return DecodedFrame(header: header, kind: kind, body: nothing, isTooLarge: true)
  }

  private mutating func letGoOfGivenOut() {
    guard keptIsGivenOut else { return }
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
    let frame = kept ?? FrameBytes()
    kept = frame
    frame.append(UnsafeRawBufferPointer(rebasing: lent[position..<(position + byteCount)]))
    position += byteCount
  }
}

/// The bytes of a frame that came in pieces.
///
/// It doubles as bytes come, so that a length field alone costs nothing.
private final class FrameBytes {
  private(set) var start: UnsafeMutableRawPointer
  private(set) var count = 0
  private var capacity = 256

  init() {
    start = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit {
    start.deallocate()
  }

  func append(_ bytes: UnsafeRawBufferPointer) {
    if count + bytes.count > capacity {
      capacity = max(capacity * 2, count + bytes.count)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      larger.copyMemory(from: start, byteCount: count)
      start.deallocate()
      start = larger
    }
    if let base = bytes.baseAddress {
      (start + count).copyMemory(from: base, byteCount: bytes.count)
    }
    count += bytes.count
  }
}
