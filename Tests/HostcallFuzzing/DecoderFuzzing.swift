import HostcallWire

/// Bytes to the decoder, whole and in pieces, with memory of their own for large bodies and without: it must not trap, and
/// all must come to the same.
enum DecoderFuzzing {
  /// What a decoder made of the bytes.
  private struct Outcome: Equatable {
    var frames: [[UInt8]] = []
    var violation: String?
  }

  /// The first byte says which way the rest goes and how it is cut.
  static func play(_ input: UnsafeRawBufferPointer) throws(FuzzingFailure) {
    guard let control = input.first else { return }
    let bytes = UnsafeRawBufferPointer(rebasing: input[1...])
    let direction: FrameDirection = control & 1 == 0 ? .toDaemon : .toPeer
    let whole = try decode([bytes], direction, nil)
    let size = 1 + Int(control >> 1)
    let pieces = stride(from: 0, to: bytes.count, by: size).map { start in
      UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + size, bytes.count)])
    }
    guard try decode(pieces, direction, nil) == whole else {
      throw FuzzingFailure("in pieces of \(size) bytes it comes to something else")
    }
    let segments = FuzzingSegments(segmentByteCount: 16 + Int(control >> 2))
    guard try decode(pieces, direction, segments) == whole else {
      throw FuzzingFailure("in pieces of \(size) bytes it comes to something else with segments")
    }
    guard segments.taken == 0 else { throw FuzzingFailure("it keeps \(segments.taken) segments when it is gone") }
  }

  private static func decode(
    _ pieces: [UnsafeRawBufferPointer], _ direction: FrameDirection, _ segments: FuzzingSegments?
  ) throws(FuzzingFailure) -> Outcome {
    var decoder = FrameDecoder(direction: direction, largestBodyBytes: 4_096, segments: segments)
    var outcome = Outcome()
    for piece in pieces {
      var read = 0
      if decoder.missingLargeBytes > 0 {
        for room in decoder.room(upTo: piece.count) {
          room.copyMemory(from: UnsafeRawBufferPointer(rebasing: piece[read..<(read + room.count)]))
          read += room.count
        }
        decoder.didRead(read)
      }
      decoder.begin(UnsafeRawBufferPointer(rebasing: piece[read...]))
      do throws(ProtocolViolation) {
        while let frame = try decoder.next() { outcome.frames.append(summary(frame)) }
      } catch {
        outcome.violation = error.reason
        return outcome
      }
      decoder.end()
      guard decoder.keptBytes <= 4_096 + FrameHeader.byteCount + (segments?.segmentByteCount ?? 0) else {
        throw FuzzingFailure("it keeps \(decoder.keptBytes) bytes")
      }
    }
    return outcome
  }

  private static func summary(_ frame: DecodedFrame) -> [UInt8] {
    var bytes = withUnsafeBytes(of: frame.header) { Array($0) }
    bytes.append(frame.isTooLarge ? 1 : 0)
    for part in [frame.name, frame.metadata] { bytes += part }
    guard let large = frame.large else { return bytes + frame.payload }
    let start = Int(frame.header.nameBytes) + Int(frame.header.metadataBytes)
    for run in large.runs(from: start, byteCount: frame.header.payloadBytes) { bytes += run }
    return bytes
  }
}

/// Small segments for bodies of any size.
///
/// `@unchecked Sendable` rule: it stays in the thread of the input that it is made for.
private final class FuzzingSegments: SegmentSource, @unchecked Sendable {
  let segmentByteCount: Int
  let smallestLargeBodyBytes: UInt32 = 8
  private(set) var taken = 0

  init(segmentByteCount: Int) {
    self.segmentByteCount = segmentByteCount
  }

  func takeSegment() -> UnsafeMutableRawPointer {
    taken += 1
    return .allocate(byteCount: segmentByteCount, alignment: 16)
  }

  func giveBack(_ segment: UnsafeMutableRawPointer) {
    taken -= 1
    segment.deallocate()
  }
}
