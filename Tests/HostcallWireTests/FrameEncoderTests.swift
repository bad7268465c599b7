import HostcallTestSupport
import HostcallWire
import Testing

@Suite("FrameEncoder")
struct FrameEncoderTests {
  @Test("gives the bytes that section 2 says, for random frames", arguments: 0..<20)
  func randomFrames(seed: UInt64) {
    for direction in [FrameDirection.toDaemon, .toPeer] {
      var generator = FrameGenerator(
        random: SeededGenerator(seed: seed), direction: direction, largestBodyBytes: 3000)
      for _ in 0..<100 {
        let (wire, frame) = generator.next()
        guard !frame.isTooLarge else { continue }
        let encoded = FrameEncoder.encode(
          frame.header, name: String(decoding: frame.name, as: UTF8.self),
          metadata: lend(frame.metadata) { Metadata(decoding: $0) }, payload: frame.payload)
        #expect(encoded == wire, "seed \(seed)")
      }
    }
  }

  @Test("encodes metadata of the largest size there is")
  func largestMetadata() throws {
    var metadata = Metadata()
    try metadata.set("k", to: String(repeating: "v", count: 65_531))
    let wire = FrameEncoder.encode(FrameHeader(kind: .call, id: 1, function: 1), metadata: metadata)
    #expect(wire == Bytes.frame(kind: 16, function: 1, metadata: Bytes.entry("k", metadata["k"]!)))
    #expect(wire.count == 32 + 65_535)
  }

  @Test("makes the buffer larger by doubling: 20,000 frames move it a few times, not once each")
  func appendingIsLinear() {
    var buffer: [UInt8] = []
    var moves = 0
    var capacity = buffer.capacity
    for id in 1...20_000 as ClosedRange<UInt64> {
      FrameEncoder.append(FrameHeader(kind: .ping, id: id), payload: [1, 2, 3, 4, 5], to: &buffer)
      if buffer.capacity != capacity { moves += 1 }
      capacity = buffer.capacity
    }
    #expect(buffer.count == 20_000 * 37)
    #expect(moves < 30)
  }

  @Test("moves the buffer once at most for one frame, however large")
  func oneFrameIsReservedAtOnce() {
    let wire = FrameEncoder.encode(
      FrameHeader(kind: .call, id: 1), name: "a.b", metadata: ["k": "v"], payload: [UInt8](repeating: 1, count: 100_000)
    )
    #expect(wire.count == 32 + 3 + 5 + 100_000)
    #expect(wire.capacity < wire.count + 4096)
  }
}
