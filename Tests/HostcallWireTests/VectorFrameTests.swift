import HostcallWire
import Testing

@Suite("Every frame of protocol-vectors.json")
struct VectorFrameTests {
  @Test("there are 32, no two of the same name, and they speak this version")
  func noneIsMissing() {
    #expect(Vectors.all.version == ProtocolConstants.version)
    #expect(Vectors.all.frames.count == 32)
    #expect(Set(Vectors.all.frames.map(\.what)).count == 32)
  }

  @Test("decodes to its fields, whole, byte by byte and cut anywhere", arguments: Vectors.all.frames)
  func decodesToItsFields(_ vector: Vectors.Accepted) throws {
    let expected = try expectedFrame(vector)
    let wire = bytes(hex: vector.bytes)
    for fragmentation in [.whole, .byteByByte] + (0..<20).map(Fragmentation.random) {
      var feeder = Feeder(vector.direction)
      try feeder.feed(wire, fragmentation)
      // Metadata has an order that the JSON object does not tell: compared entry by entry below.
      var frames = feeder.frames
      for place in frames.indices { frames[place].metadata = [] }
      #expect(frames == [expected], "\(fragmentation)")
      #expect(feeder.keptBytes == 0, "\(fragmentation)")
      for frame in feeder.frames {
        let entries = lend(frame.metadata) { Metadata(decoding: $0) }.entries
        #expect(entries.count == vector.metadata.count, "\(fragmentation)")
        #expect(Dictionary(uniqueKeysWithValues: entries.map { ($0.key, $0.value) }) == vector.metadata)
      }
    }
  }

  @Test("comes out of the encoder with the same bytes", arguments: Vectors.all.frames)
  func encodesToTheSameBytes(_ vector: Vectors.Accepted) throws {
    let wire = bytes(hex: vector.bytes)
    var feeder = Feeder(vector.direction)
    try feeder.feed(wire)
    let metadata = lend(try #require(feeder.frames.first).metadata) { Metadata(decoding: $0) }
    let expected = try expectedFrame(vector)
    var header = FrameHeader(
      kind: expected.kind, flags: expected.header.flags, encoding: expected.header.encoding,
      status: expected.header.status, id: expected.header.id, function: vector.function,
      timeoutMilliseconds: vector.timeout, aux: vector.aux)
    #expect(FrameEncoder.encode(header, name: vector.name, metadata: metadata, payload: expected.payload) == wire)
    // Sizes that stand in the header already are overwritten, and what is in the buffer already stays.
    (header.bodyBytes, header.nameBytes, header.metadataBytes) = (7, 8, 9)
    var buffer: [UInt8] = [1, 2, 3]
    FrameEncoder.append(header, name: vector.name, metadata: metadata, payload: expected.payload, to: &buffer)
    #expect(buffer == [1, 2, 3] + wire)
  }

  @Test("is refused going the other way where its kind is not for that side", arguments: Vectors.all.frames)
  func hasItsWay(_ vector: Vectors.Accepted) throws {
    let kind = try #require(FrameKind.allCases.first { $0.description == vector.kind })
    let other: FrameDirection = vector.direction == .toDaemon ? .toPeer : .toDaemon
    let reason = Feeder.refusal(bytes(hex: vector.bytes), other)
    #expect((reason == nil) == kind.maySend(other), "\(reason ?? "accepted")")
  }

  @Test("arrives when all of one way come as one stream, cut anywhere", arguments: 0..<50)
  func arrivesInAStream(seed: UInt64) throws {
    for direction in [FrameDirection.toDaemon, .toPeer] {
      let vectors = Vectors.all.frames.filter { $0.direction == direction }
      var feeder = Feeder(direction)
      try feeder.feed(vectors.flatMap { bytes(hex: $0.bytes) }, .random(seed: seed))
      #expect(feeder.frames.map(\.header.id) == vectors.map { UInt64($0.id) }, "seed \(seed)")
      #expect(feeder.frames.map(\.payload) == vectors.map { bytes(hex: $0.payload) }, "seed \(seed)")
    }
  }

  /// What the decoder has to give out, but for the metadata.
  private func expectedFrame(_ vector: Vectors.Accepted) throws -> Frame {
    let kind = try #require(FrameKind.allCases.first { $0.description == vector.kind })
    let payload = bytes(hex: vector.payload)
    let metadataBytes = vector.metadata.reduce(0) { $0 + 3 + $1.key.utf8.count + $1.value.utf8.count }
    var header = FrameHeader(
      kind: kind, flags: FrameFlags(rawValue: vector.flags), encoding: PayloadEncoding(rawValue: vector.encoding),
      status: Status(rawValue: vector.status), id: try #require(UInt64(vector.id)), function: vector.function,
      timeoutMilliseconds: vector.timeout, aux: vector.aux)
    header.nameBytes = UInt16(vector.name.utf8.count)
    header.metadataBytes = UInt16(metadataBytes)
    header.bodyBytes = UInt32(vector.name.utf8.count + metadataBytes + payload.count)
    return Frame(header: header, kind: kind, name: Array(vector.name.utf8), payload: payload)
  }
}
