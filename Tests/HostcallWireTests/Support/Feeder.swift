import HostcallTestSupport
import HostcallWire

/// A frame copied out of the decoder.
struct Frame: Equatable, Sendable {
  var header: FrameHeader
  var kind: FrameKind
  var isTooLarge = false
  var name: [UInt8] = []
  var metadata: [UInt8] = []
  var payload: [UInt8] = []
}

/// How a stream is cut before the decoder sees it.
enum Fragmentation: Sendable, CustomStringConvertible {
  case whole
  case byteByByte
  case random(seed: UInt64)

  var description: String {
    switch self {
    case .whole: "whole"
    case .byteByByte: "byte by byte"
    case .random(let seed): "random cuts, seed \(seed)"
    }
  }

  func pieces(of bytes: [UInt8]) -> [ArraySlice<UInt8>] {
    var random = SeededGenerator(seed: 0)
    if case .random(let seed) = self { random = SeededGenerator(seed: seed) }
    var pieces: [ArraySlice<UInt8>] = []
    var start = 0
    while start < bytes.count {
      let length =
        switch self {
        case .whole: bytes.count
        case .byteByByte: 1
        case .random: Int.random(in: 0...[3, 40, 400, 70_000].randomElement(using: &random)!, using: &random)
        }
      let end = min(bytes.count, start + length)
      pieces.append(bytes[start..<end])
      start = end
    }
    return pieces
  }
}

/// A decoder that is handed each piece in memory of exactly its size, overwritten and freed as soon as the decoder has
/// ended with it: bytes that are read too far or too late come out wrong, or are caught by the address sanitizer.
///
/// With segments, what is missing of a large frame is put straight into its memory, as a read of a socket does.
struct Feeder: ~Copyable {
  private var decoder: FrameDecoder
  private(set) var frames: [Frame] = []
  private(set) var largestKeptBytes = 0

  init(_ direction: FrameDirection, largestBodyBytes: UInt32 = 16 << 20, segments: CountingSegments? = nil) {
    decoder = FrameDecoder(direction: direction, largestBodyBytes: largestBodyBytes, segments: segments)
  }

  var keptBytes: Int { decoder.keptBytes }

  mutating func feed(_ all: some Collection<UInt8>) throws(ProtocolViolation) {
    var bytes = Array(all)
    if decoder.missingLargeBytes > 0 {
      var read = 0
      for room in decoder.room(upTo: bytes.count) {
        room.copyBytes(from: bytes[read..<(read + room.count)])
        read += room.count
      }
      decoder.didRead(read)
      bytes.removeFirst(read)
    }
    let lent = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    lent.copyBytes(from: bytes)
    decoder.begin(UnsafeRawBufferPointer(lent))
    defer {
      decoder.end()
      largestKeptBytes = max(largestKeptBytes, decoder.keptBytes)
      for place in lent.indices { lent[place] = 0xaa }
      lent.deallocate()
    }
    while let frame = try decoder.next() {
      frames.append(
        Frame(
          header: frame.header, kind: frame.kind, isTooLarge: frame.isTooLarge, name: Array(frame.name),
          metadata: Array(frame.metadata), payload: frame.payloadBytes))
    }
  }

  mutating func feed(_ bytes: [UInt8], _ fragmentation: Fragmentation) throws(ProtocolViolation) {
    for piece in fragmentation.pieces(of: bytes) {
      try feed(piece)
    }
  }

  /// How many bytes of `bytes`, fed one by one, came before the refusal; nil where there was none.
  static func bytesUntilRefusal(
    _ bytes: [UInt8], _ direction: FrameDirection = .toDaemon, largestBodyBytes: UInt32 = 16 << 20
  ) -> Int? {
    var feeder = Feeder(direction, largestBodyBytes: largestBodyBytes)
    for (place, byte) in bytes.enumerated() {
      do { try feeder.feed([byte]) } catch { return place + 1 }
    }
    return nil
  }

  /// The reason for which the frame is refused, nil where it is not.
  static func refusal(
    _ bytes: [UInt8], _ direction: FrameDirection = .toDaemon, _ fragmentation: Fragmentation = .whole
  ) -> String? {
    var feeder = Feeder(direction)
    do { try feeder.feed(bytes, fragmentation) } catch { return error.reason }
    return nil
  }
}
