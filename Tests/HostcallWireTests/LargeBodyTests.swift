import HostcallTestSupport
import HostcallWire
import Testing

@Suite("LargeBody")
struct LargeBodyTests {
  private let segments = CountingSegments(segmentByteCount: 1_000, smallestLargeBodyBytes: 2_000)

  private func frame(_ payloadBytes: Int) -> [UInt8] {
    Bytes.frame(.complete, payload: (0..<payloadBytes).map { UInt8(truncatingIfNeeded: $0 &* 7) })
  }

  @Test("a length alone takes no segment, and what has come never holds one segment more than it needs")
  func memoryGrowsWithWhatComes() throws {
    var feeder = Feeder(.toDaemon, segments: segments)
    let wire = frame(10_000)
    for (place, byte) in wire.dropLast().enumerated() {
      try feeder.feed([byte])
      let bodyBytes = place + 1 - FrameHeader.byteCount
      // Until a quarter of a segment has come it is kept like any other frame.
      let held = bodyBytes < 250 ? 0 : (bodyBytes + 999) / 1_000
      if segments.segmentsInUse != held { Issue.record("\(held) segments hold \(bodyBytes) bytes") }
      let kept = held == 0 ? place + 1 : FrameHeader.byteCount + held * 1_000
      if feeder.keptBytes != kept { Issue.record("\(feeder.keptBytes) bytes are kept for \(bodyBytes)") }
    }
    try feeder.feed([wire.last!])
    #expect(feeder.frames.count == 1 && segments.segmentsInUse == 0)
  }

  @Test("a body below the threshold, and one whose name and metadata do not fit a segment, are like any other")
  func othersHaveNone() throws {
    var feeder = Feeder(.toDaemon, segments: segments)
    try feeder.feed(frame(1_999), .byteByByte)
    let metadata = Bytes.entry("key", String(repeating: "v", count: 1_000))
    try feeder.feed(Bytes.frame(.complete, metadata: metadata, payload: Array(repeating: 1, count: 3_000)), .byteByByte)
    #expect(feeder.frames.count == 2 && feeder.frames[1].metadata == metadata)
    #expect(feeder.largestKeptBytes == FrameHeader.byteCount + metadata.count + 2_999)
  }

  @Test("it is there as long as somebody holds it, whatever the decoder goes on with")
  func itOutlivesTheDecoder() throws {
    let wire = frame(5_500)
    var held: LargeBody?
    try (wire + frame(2_500)).withUnsafeBytes { lent in
      var decoder = FrameDecoder(direction: .toDaemon, largestBodyBytes: 10_000, segments: segments)
      decoder.begin(lent)
      let first = try decoder.next()
      held = first?.large
      #expect(first?.name.count == 0 && first?.isLarge == true)
      let second = try decoder.next()
      #expect(second?.large?.count == 2_500)
      let third = try decoder.next()
      #expect(third == nil)
      decoder.end()
    }
    #expect(segments.segmentsInUse == 6)
    let runs = try #require(held).runs(from: 10, byteCount: 5_000)
    #expect(runs.map(\.count) == [990, 1_000, 1_000, 1_000, 1_000, 10])
    #expect(runs.flatMap { Array($0) } == Array(wire[(FrameHeader.byteCount + 10)...].prefix(5_000)))
    held = nil
    #expect(segments.segmentsInUse == 0)
  }

  @Test("a read that brings less than there is room for gives unused segments back")
  func unusedRoomGoesBack() throws {
    let wire = frame(9_000)
    var decoder = FrameDecoder(direction: .toDaemon, largestBodyBytes: 10_000, segments: segments)
    try wire.prefix(532).withUnsafeBytes { lent in
      decoder.begin(lent)
      let frame = try decoder.next()
      #expect(frame == nil)
      decoder.end()
    }
    #expect(decoder.missingLargeBytes == 8_500 && segments.segmentsInUse == 1)
    let room = decoder.room(upTo: 4_000)
    #expect(room.map(\.count) == [500, 1_000, 1_000, 1_000, 500] && segments.segmentsInUse == 5)
    decoder.didRead(0)
    #expect(segments.segmentsInUse == 1)
    #expect(decoder.room(upTo: 1 << 20).reduce(0) { $0 + $1.count } == 8_500)
    decoder.didRead(501)
    #expect(segments.segmentsInUse == 2 && decoder.missingLargeBytes == 7_999)
    decoder = FrameDecoder(direction: .toDaemon, largestBodyBytes: 10_000)
    #expect(segments.segmentsInUse == 0)
  }
}
