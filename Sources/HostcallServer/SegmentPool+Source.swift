import HostcallLoop
import HostcallWire

/// The pool of a loop as what decoders take segments from.
extension SegmentPool: SegmentSource {
  /// Bytes of the smallest body that gets memory of its own: 64 KiB. From there on it would need a
  /// chunk of its own, and below that no difference can be measured.
  static let smallestLargeBodyBytes: UInt32 = 65_536

  package var segmentByteCount: Int { Self.byteCount }
  package var smallestLargeBodyBytes: UInt32 { Self.smallestLargeBodyBytes }

  package func takeSegment() -> UnsafeMutableRawPointer { take() }
  package func giveBack(_ segment: UnsafeMutableRawPointer) { put(segment) }
}
