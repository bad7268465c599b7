/// Where the memory for bodies of large frames comes from and goes to, in pieces of one size.
///
/// Thread: any, for a body may be let go of on any.
package protocol SegmentSource: AnyObject, Sendable {
  /// Bytes of every segment.
  var segmentByteCount: Int { get }
  /// Bytes of the smallest body that is kept in segments.
  var smallestLargeBodyBytes: UInt32 { get }
  /// Memory of ``segmentByteCount`` bytes, which is not cleared; the caller's until it is given back.
  func takeSegment() -> UnsafeMutableRawPointer
  func giveBack(_ segment: UnsafeMutableRawPointer)
}

/// The body of a large frame in memory of its own: read once, and from then on handed around without a copy.
///
/// It grows by one segment as bytes come, moves none of them, and gives all of them back when nobody holds it any more.
///
/// Thread: that of its decoder until the frame is whole; from then on nothing changes it and it may be held and let go of
/// on any.
///
/// Unsafe pointers' rule: each of `segments` is this object's from the moment that it is taken until it is given back,
/// the first `count` bytes of all of them in order are initialised, and what is lent out of them is valid only while the
/// object is held.
public final class LargeBody: @unchecked Sendable {
  private let source: any SegmentSource
  private let segmentByteCount: Int
  private var segments: [UnsafeMutableRawPointer] = []
  /// Bytes that have come.
  package private(set) var count = 0

  init(source: any SegmentSource) {
    self.source = source
    segmentByteCount = source.segmentByteCount
  }

  deinit {
    for segment in segments { source.giveBack(segment) }
  }

  /// Bytes of memory that it holds: less than one segment more than have come.
  package var heldByteCount: Int { segments.count * segmentByteCount }

  /// What lies in the first segment: name and metadata, and the beginning of the payload.
  package var head: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: segments.first, count: min(count, segmentByteCount))
  }

  /// The `byteCount` bytes from `start` on, as they lie in memory, in order.
  package func runs(from start: Int, byteCount: Int) -> [UnsafeRawBufferPointer] {
    precondition(start >= 0 && byteCount >= 0 && start + byteCount <= count, "bytes that have not come are asked for")
    return pieces(from: start, to: start + byteCount).map { UnsafeRawBufferPointer($0) }
  }

  /// Room for up to `byteCount` bytes that come next, as it lies in memory, in order; segments are taken for it.
  ///
  /// ``didFill(_:)`` follows.
  func room(_ byteCount: Int) -> [UnsafeMutableRawBufferPointer] {
    while segments.count * segmentByteCount < count + byteCount { segments.append(source.takeSegment()) }
    return pieces(from: count, to: count + byteCount)
  }

  /// So many bytes have been written into the room; segments that are still empty go back.
  func didFill(_ byteCount: Int) {
    count += byteCount
    while (segments.count - 1) * segmentByteCount >= count, let empty = segments.popLast() { source.giveBack(empty) }
  }

  func append(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes[...]
    for piece in room(bytes.count) {
      piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest.prefix(piece.count)))
      rest = rest.dropFirst(piece.count)
    }
    didFill(bytes.count)
  }

  private func pieces(from start: Int, to end: Int) -> [UnsafeMutableRawBufferPointer] {
    var pieces: [UnsafeMutableRawBufferPointer] = []
    var position = start
    while position < end {
      let offset = position % segmentByteCount
      let byteCount = min(segmentByteCount - offset, end - position)
      pieces.append(
        UnsafeMutableRawBufferPointer(start: segments[position / segmentByteCount] + offset, count: byteCount))
      position += byteCount
    }
    return pieces
  }
}
