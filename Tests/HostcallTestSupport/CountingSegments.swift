import HostcallLoop
package import HostcallWire

/// Segments of any size, each in memory of exactly that size, overwritten and freed as soon as it is given back: what is
/// used too far or too late comes out wrong, or is caught by the address sanitizer.
package final class CountingSegments: SegmentSource {
  package let segmentByteCount: Int
  package let smallestLargeBodyBytes: UInt32
  private let taken = HeapLock(0)

  package init(segmentByteCount: Int, smallestLargeBodyBytes: UInt32) {
    self.segmentByteCount = segmentByteCount
    self.smallestLargeBodyBytes = smallestLargeBodyBytes
  }

  /// How many segments are somebody's.
  package var segmentsInUse: Int { taken.withLock { $0 } }

  package func takeSegment() -> UnsafeMutableRawPointer {
    taken.withLock { $0 += 1 }
    return .allocate(byteCount: segmentByteCount, alignment: 16)
  }

  package func giveBack(_ segment: UnsafeMutableRawPointer) {
    taken.withLock { $0 -= 1 }
    segment.initializeMemory(as: UInt8.self, repeating: 0xaa, count: segmentByteCount)
    segment.deallocate()
  }
}

extension DecodedFrame {
  /// The payload, wherever it lies.
  package var payloadBytes: [UInt8] {
    guard let large else { return Array(payload) }
    let start = Int(header.nameBytes) + Int(header.metadataBytes)
    return large.runs(from: start, byteCount: header.payloadBytes).flatMap { Array($0) }
  }
}
