import HostcallTestSupport
import HostcallWire
import Testing

@Suite("FrameDecoder")
struct FrameDecoderTests {
  @Test("gives the same frames however a random stream is cut", arguments: 0..<60)
  func fragmentationChangesNothing(seed: UInt64) throws {
    for direction in [FrameDirection.toDaemon, .toPeer] {
      var generator = FrameGenerator(
        random: SeededGenerator(seed: seed), direction: direction, largestBodyBytes: seed.isMultiple(of: 2) ? 700 : 3000
      )
      let made = (0..<60).map { _ in generator.next() }
      let stream = made.flatMap(\.bytes)
      for fragmentation in [.whole, .byteByByte] + (0..<8).map({ Fragmentation.random(seed: seed << 8 | $0) }) {
        var feeder = Feeder(direction, largestBodyBytes: UInt32(generator.largestBodyBytes))
        try feeder.feed(stream, fragmentation)
        #expect(feeder.frames == made.map(\.frame), "seed \(seed), \(fragmentation)")
        #expect(feeder.keptBytes == 0, "seed \(seed), \(fragmentation)")
        #expect(feeder.largestKeptBytes <= FrameHeader.byteCount + generator.largestBodyBytes)
      }
    }
  }

  @Test("gives the same frames where large ones have memory of their own, read into it directly", arguments: 0..<60)
  func segmentsChangeNothing(seed: UInt64) throws {
    for direction in [FrameDirection.toDaemon, .toPeer] {
      var generator = FrameGenerator(random: SeededGenerator(seed: seed), direction: direction, largestBodyBytes: 3_000)
      let made = (0..<60).map { _ in generator.next() }
      let stream = made.flatMap(\.bytes)
      for fragmentation in [.whole, .byteByByte] + (0..<8).map({ Fragmentation.random(seed: seed << 8 | $0) }) {
        for segmentByteCount in [64, 500, 4_096] {
          let segments = CountingSegments(segmentByteCount: segmentByteCount, smallestLargeBodyBytes: 200)
          var feeder = Feeder(direction, largestBodyBytes: 3_000, segments: segments)
          try feeder.feed(stream, fragmentation)
          #expect(feeder.frames == made.map(\.frame), "seed \(seed), \(fragmentation)")
          #expect(feeder.keptBytes == 0 && segments.segmentsInUse == 0, "seed \(seed), \(fragmentation)")
          #expect(feeder.largestKeptBytes <= FrameHeader.byteCount + 3_000 + segmentByteCount)
        }
      }
    }
  }

  @Test("gives a body without copying it where the frame lies whole in the lent bytes")
  func wholeFramesAreNotCopied() throws {
    let wire = Bytes.frame(.call, payload: [1, 2, 3]) + Bytes.frame(.ping)
    try wire.withUnsafeBytes { lent in
      var decoder = FrameDecoder(direction: .toDaemon, largestBodyBytes: 100)
      decoder.begin(lent)
      let frame = try decoder.next()
      #expect(frame?.body.baseAddress == lent.baseAddress.map { $0 + FrameHeader.byteCount })
      #expect(decoder.keptBytes == 0)
      #expect(try decoder.next()?.kind == .ping)
      #expect(try decoder.next() == nil)
      decoder.end()
      #expect(decoder.keptBytes == 0)
    }
  }

  @Test("keeps only what came of a frame, and nothing once the frame was given out")
  func keepsWhatCame() throws {
    let wire = Bytes.frame(.call, payload: Array(repeating: 7, count: 500))
    var feeder = Feeder(.toDaemon)
    for (place, byte) in wire.dropLast().enumerated() {
      try feeder.feed([byte])
      #expect(feeder.keptBytes == place + 1)
    }
    try feeder.feed([])
    #expect(feeder.keptBytes == wire.count - 1)
    try feeder.feed([wire.last!])
    #expect(feeder.frames.count == 1)
    #expect(feeder.keptBytes == 0)
  }

  @Test("takes a body of exactly the largest size, and not one byte more")
  func largestBodyIsTaken() throws {
    for payload in [99, 100, 101] {
      var feeder = Feeder(.toDaemon, largestBodyBytes: 100)
      try feeder.feed(Bytes.frame(.complete, payload: Array(repeating: 1, count: payload)))
      #expect(feeder.frames.map(\.isTooLarge) == [payload > 100])
      #expect(feeder.frames.map(\.payload.count) == [payload > 100 ? 0 : payload])
    }
  }

  @Test("reports a frame that is too large once, at its header, keeps none of its body and goes on behind it")
  func tooLargeIsReportedAtTheHeader() throws {
    let large = Bytes.frame(
      .call, flags: 0x20, id: 9, name: "token.fetch", metadata: Bytes.entry("k", "v"),
      payload: Array(repeating: 0x10, count: 5000))
    let behind = Bytes.frame(.ping, id: 10, payload: [1])
    var feeder = Feeder(.toDaemon, largestBodyBytes: 1000)
    for byte in large.prefix(FrameHeader.byteCount - 1) { try feeder.feed([byte]) }
    #expect(feeder.frames.isEmpty)
    try feeder.feed([large[FrameHeader.byteCount - 1]])
    let frame = try #require(feeder.frames.first)
    #expect(frame.isTooLarge && frame.kind == .call && frame.header.id == 9 && frame.header.flags == .wait)
    #expect(frame.header.nameBytes == 11 && frame.header.metadataBytes == 5 && frame.header.bodyBytes == 5016)
    #expect(frame.name.isEmpty && frame.metadata.isEmpty && frame.payload.isEmpty)
    for byte in large.dropFirst(FrameHeader.byteCount) {
      try feeder.feed([byte])
      #expect(feeder.keptBytes == 0)
    }
    #expect(feeder.frames.count == 1)
    try feeder.feed(behind)
    #expect(feeder.frames.map(\.header.id) == [9, 10])
    for seed in 0..<50 as Range<UInt64> {
      var feeder = Feeder(.toDaemon, largestBodyBytes: 1000)
      try feeder.feed(large + behind + large + large + behind, .random(seed: seed))
      #expect(feeder.frames.map(\.header.id) == [9, 10, 9, 9, 10], "seed \(seed)")
      #expect(feeder.frames.map(\.isTooLarge) == [true, false, true, true, false], "seed \(seed)")
      #expect(feeder.largestKeptBytes < 1100, "seed \(seed)")
    }
  }

  @Test("a too large frame has no name, metadata or payload to read, whatever its header says")
  func tooLargeHasEmptyParts() {
    var header = FrameHeader(kind: .call, id: 1)
    (header.bodyBytes, header.nameBytes, header.metadataBytes) = (.max, 255, .max)
    let frame = DecodedFrame(
      header: header, kind: .call, body: UnsafeRawBufferPointer(start: nil, count: 0), isTooLarge: true)
    #expect(frame.name.isEmpty && frame.metadata.isEmpty && frame.payload.isEmpty)
  }

  @Test("a size of 4 GiB - 1 costs no memory, neither above the limit nor below it")
  func lengthFieldAllocatesNothing() throws {
    let header = Bytes.frame(kind: FrameKind.complete.rawValue, size: .max)
    let junk = [UInt8](repeating: 0xff, count: 100_000)
    var refusing = Feeder(.toDaemon, largestBodyBytes: 16 << 20)
    try refusing.feed(header)
    #expect(refusing.frames.map(\.isTooLarge) == [true])
    for _ in 0..<10 { try refusing.feed(junk) }
    #expect(refusing.frames.count == 1)
    #expect(refusing.largestKeptBytes == 0)
    var taking = Feeder(.toDaemon, largestBodyBytes: .max)
    try taking.feed(header)
    #expect(taking.keptBytes == FrameHeader.byteCount)
    try taking.feed([1, 2, 3])
    #expect(taking.keptBytes == FrameHeader.byteCount + 3)
  }

  @Test("skips a body of exactly 4 GiB - 1 bytes, and the frame behind it arrives")
  func longestBodyIsSkipped() throws {
    // The same memory is lent again and again: 4 GiB are counted, not touched.
    let piece = [UInt8](repeating: 0xff, count: 1 << 24)
    var decoder = FrameDecoder(direction: .toDaemon, largestBodyBytes: 1000)
    var kinds: [FrameKind] = []
    func lend(_ bytes: UnsafeRawBufferPointer) throws {
      decoder.begin(bytes)
      while let frame = try decoder.next() { kinds.append(frame.kind) }
      decoder.end()
    }
    try Bytes.frame(kind: FrameKind.complete.rawValue, size: .max).withUnsafeBytes(lend)
    for _ in 0..<255 { try piece.withUnsafeBytes(lend) }
    try piece.dropLast().withUnsafeBytes(lend)
    #expect(kinds == [.complete])
    try Bytes.frame(.ping).withUnsafeBytes(lend)
    #expect(kinds == [.complete, .ping])
  }

  @Test("refuses a header before any of its body has come, also where the body would be too large")
  func refusesAtTheHeader() {
    let call = FrameKind.call.rawValue
    let headers: [(String, [UInt8])] = [
      ("unknown kind", Bytes.frame(kind: 77, size: .max)),
      ("the daemon's kind", Bytes.frame(kind: FrameKind.event.rawValue, size: .max)),
      ("unknown flag", Bytes.frame(kind: call, flags: 0x80, function: 1, size: .max)),
      ("reserved encoding", Bytes.frame(kind: call, encoding: 127, function: 1, size: .max)),
      ("reserved status", Bytes.frame(kind: call, status: 100, function: 1, size: .max)),
      ("id 0", Bytes.frame(kind: call, id: 0, function: 1, size: .max)),
      ("neither name nor handle", Bytes.frame(kind: call, size: .max)),
      ("parts that do not fit", Bytes.frame(kind: call, size: 9, nameSize: 5, metadataSize: 5)),
      ("longer parts that do not fit", Bytes.frame(kind: call, size: 9, nameSize: .max, metadataSize: .max)),
      ("name of 256 bytes", Bytes.frame(kind: call, size: .max, nameSize: 256)),
      ("no name", Bytes.frame(kind: FrameKind.bind.rawValue, size: .max)),
      ("long PING", Bytes.frame(kind: FrameKind.ping.rawValue, size: .max)),
    ]
    for (what, header) in headers {
      #expect(Feeder.bytesUntilRefusal(header) == FrameHeader.byteCount, "\(what)")
      #expect(Feeder.bytesUntilRefusal(header, largestBodyBytes: .max) == FrameHeader.byteCount, "\(what)")
      #expect(Feeder.refusal(header) != nil, "\(what)")
    }
  }

  @Test("says nothing before a header is whole")
  func waitsForTheHeader() throws {
    var feeder = Feeder(.toDaemon)
    try feeder.feed([UInt8](repeating: 0xff, count: FrameHeader.byteCount - 1))
    #expect(feeder.frames.isEmpty)
    #expect(throws: ProtocolViolation.self) { try feeder.feed([0xff]) }
  }
}
