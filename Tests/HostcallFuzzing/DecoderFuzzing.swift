import HostcallWire

/// Bytes to the decoder, whole and in pieces: it must not trap, and both must come to the same.
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
    let whole = try decode([bytes], direction)
    let size = 1 + Int(control >> 1)
    let pieces = stride(from: 0, to: bytes.count, by: size).map { start in
      UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + size, bytes.count)])
    }
    guard try decode(pieces, direction) == whole else {
      throw FuzzingFailure("in pieces of \(size) bytes it comes to something else")
    }
  }

  private static func decode(
    _ pieces: [UnsafeRawBufferPointer], _ direction: FrameDirection
  ) throws(FuzzingFailure) -> Outcome {
    var decoder = FrameDecoder(direction: direction, largestBodyBytes: 4_096)
    var outcome = Outcome()
    for piece in pieces {
      decoder.begin(piece)
      do throws(ProtocolViolation) {
        while let frame = try decoder.next() { outcome.frames.append(summary(frame)) }
      } catch {
        outcome.violation = error.reason
        return outcome
      }
      decoder.end()
      guard decoder.keptBytes <= 4_096 + FrameHeader.byteCount else {
        throw FuzzingFailure("it keeps \(decoder.keptBytes) bytes")
      }
    }
    return outcome
  }

  private static func summary(_ frame: DecodedFrame) -> [UInt8] {
    var bytes = withUnsafeBytes(of: frame.header) { Array($0) }
    bytes.append(frame.isTooLarge ? 1 : 0)
    for part in [frame.name, frame.metadata, frame.payload] { bytes += part }
    return bytes
  }
}
