import HostcallWire
import Testing

@Suite("Every byte string of protocol-vectors.json that must be refused")
struct VectorRefusalTests {
  /// These break no rule by themselves, but by what came before them on the connection: the daemon's bridge refuses
  /// them.
  static let brokenByHistory: Set = ["second HELLO", "CALL before HELLO"]

  /// These are in order as far as the header goes: only the bytes of name or metadata show what is wrong.
  static let brokenInBody: Set = [
    "REGISTER with a malformed name: leading dot", "REGISTER with a malformed name: trailing dot",
    "REGISTER with a malformed name: double dot", "REGISTER with a malformed name: space",
    "REGISTER with a malformed name: NUL", "REGISTER with a malformed name: not ASCII",
    "REGISTER with a malformed name: star inside", "REGISTER with a malformed name: star without a dot",
    "REGISTER with a malformed name: newline", "BIND of a pattern", "CALL of a pattern",
    "metadata: key size past the end", "metadata: value size past the end", "metadata: value size cut short",
    "metadata: empty key", "metadata: upper-case key", "metadata: key twice", "metadata: value not UTF-8",
    "metadata: NUL in a value", "metadata: key of 65 bytes", "metadata: a key of the daemon",
  ]

  static let brokenByThemselves = Vectors.all.refused.filter { !brokenByHistory.contains($0.what) }

  @Test("is counted: 48, of which 2 are broken by history, 21 in their body and 25 in their header")
  func noneIsMissing() {
    let whats = Set(Vectors.all.refused.map(\.what))
    #expect(Vectors.all.refused.count == 48)
    #expect(whats.count == 48)
    #expect(whats.isSuperset(of: Self.brokenByHistory) && Self.brokenByHistory.count == 2)
    #expect(whats.isSuperset(of: Self.brokenInBody) && Self.brokenInBody.count == 21)
    #expect(Self.brokenByThemselves.count == 46)
  }

  @Test("is refused whole, byte by byte and cut anywhere", arguments: brokenByThemselves)
  func isRefused(_ vector: Vectors.Refused) {
    for fragmentation in [.whole, .byteByByte] + (0..<10).map(Fragmentation.random) {
      let reason = Feeder.refusal(bytes(hex: vector.bytes), .toDaemon, fragmentation)
      #expect(reason?.isEmpty == false, "\(fragmentation)")
    }
  }

  @Test("is refused with its header's last byte, or its body's where only that shows it", arguments: brokenByThemselves)
  func isRefusedAtOnce(_ vector: Vectors.Refused) {
    let wire = bytes(hex: vector.bytes)
    let place = Self.brokenInBody.contains(vector.what) ? wire.count : FrameHeader.byteCount
    #expect(Feeder.bytesUntilRefusal(wire) == place)
  }

  @Test("is refused behind a frame that is in order, which arrives", arguments: brokenByThemselves)
  func doesNotTakeOthersAlong(_ vector: Vectors.Refused) {
    for fragmentation in [Fragmentation.whole, .byteByByte] {
      var feeder = Feeder(.toDaemon)
      #expect(throws: ProtocolViolation.self, "\(fragmentation)") {
        try feeder.feed(Bytes.frame(.ping) + bytes(hex: vector.bytes), fragmentation)
      }
      #expect(feeder.frames.map(\.kind) == [.ping], "\(fragmentation)")
    }
  }

  @Test("is a whole frame here where only history breaks it", arguments: brokenByHistory.sorted())
  func decodesWhereHistoryBreaksIt(_ what: String) throws {
    let vector = try #require(Vectors.all.refused.first { $0.what == what })
    for fragmentation in [Fragmentation.whole, .byteByByte] {
      var feeder = Feeder(.toDaemon)
      try feeder.feed(bytes(hex: vector.bytes), fragmentation)
      #expect(feeder.frames.map(\.kind) == [vector.afterHello ? .hello : .call])
      #expect(feeder.keptBytes == 0)
    }
  }
}
