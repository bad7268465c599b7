import HostcallTestSupport
import HostcallWire
import Testing

/// Bytes from nobody: each input ends in frames or in a refusal, never in a trap.
///
/// A batch of 1,000 inputs is one case of a test, and its number is the seed: a trap leaves behind which batches had
/// begun and not ended.
@Suite("FrameDecoder, fed with garbage")
struct FrameDecoderFuzzTests {
  @Test("never traps and never keeps more than came: 100,000 random inputs", arguments: 0..<100)
  func randomBytes(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for input in 0..<1000 {
      var bytes = random.bytes(Int.random(in: 0...120, using: &random))
      // Most of all bytes are no kind, and most sizes are never reached: let two inputs of three come further.
      if bytes.count > 32, input % 3 != 0 {
        bytes[4] = FrameKind.allCases.randomElement(using: &random)!.rawValue
        bytes.replaceSubrange(0..<4, with: Bytes.littleEndian(UInt32.random(in: 0...90, using: &random)))
        bytes.replaceSubrange(24..<28, with: [UInt8.random(in: 0...9, using: &random), 0, bytes[26] & 31, 0])
        if input % 3 == 1 { for place in [5, 6, 7] { bytes[place] = 0 } }
      }
      decode(bytes, &random, "seed \(seed), input \(input)")
    }
  }

  @Test("never traps and never keeps more than came: 60,000 vectors with a few bytes changed", arguments: 0..<60)
  func mutatedVectors(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let vectors = (Vectors.all.frames.map(\.bytes) + Vectors.all.refused.map(\.bytes)).filter { $0.utf8.count < 1000 }
    let originals = vectors.map { bytes(hex: $0) }
    for input in 0..<1000 {
      var bytes = originals.randomElement(using: &random)! + originals.randomElement(using: &random)!
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random)!
        case 3: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
        default: if bytes.count > 1 { bytes.remove(at: place) }
        }
      }
      decode(bytes, &random, "seed \(seed), input \(input)")
    }
  }

  /// Decodes in both directions and checks that the way of cutting changes neither frames nor refusal.
  private func decode(_ bytes: [UInt8], _ random: inout SeededGenerator, _ what: String) {
    let largestBodyBytes = UInt32.random(in: 0...200, using: &random)
    for direction in [FrameDirection.toDaemon, .toPeer] {
      var outcomes: [(frames: [Frame], refusal: ProtocolViolation?)] = []
      let segments = CountingSegments(
        segmentByteCount: .random(in: 1...90, using: &random),
        smallestLargeBodyBytes: .random(in: 1...90, using: &random))
      let cuts = Fragmentation.random(seed: random.next())
      for (fragmentation, segments) in [(Fragmentation.whole, nil), (cuts, nil), (.whole, segments), (cuts, segments)] {
        var feeder = Feeder(direction, largestBodyBytes: largestBodyBytes, segments: segments)
        var refusal: ProtocolViolation?
        do { try feeder.feed(bytes, fragmentation) } catch { refusal = error }
        outcomes.append((feeder.frames, refusal))
        let bound = bytes.count + (segments?.segmentByteCount ?? 0)
        if feeder.largestKeptBytes > bound { Issue.record("\(what): keeps \(feeder.largestKeptBytes) bytes") }
      }
      for outcome in outcomes where outcome.frames != outcomes[0].frames || outcome.refusal != outcomes[0].refusal {
        Issue.record("\(what), \(direction): decodes otherwise when it is cut or has segments")
      }
      if segments.segmentsInUse != 0 { Issue.record("\(what), \(direction): keeps segments when it is gone") }
    }
  }
}
