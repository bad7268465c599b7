import HostcallWire
import Testing

@Suite("Greeting and Welcome")
struct GreetingTests {
  @Test("greets as the vector of HELLO does")
  func hello() throws {
    let vector = try #require(Vectors.all.frames.first { $0.what == "HELLO, version 1 only" })
    #expect(Greeting.hello(client: "vectors/1") == bytes(hex: vector.bytes))
  }

  @Test("greets with its features, joined by commas, in a frame that the daemon takes")
  func helloWithFeatures() throws {
    var feeder = Feeder(.toDaemon)
    try feeder.feed(Greeting.hello(client: "c/1", features: ["descriptors", "other"]))
    let frame = try #require(feeder.frames.first)
    #expect(frame.header.id == FrameHeader.helloID && frame.header.function == 1 && frame.header.aux == 1)
    let metadata = lend(frame.metadata) { Metadata(decoding: $0) }
    #expect(metadata == ["client": "c/1", "features": "descriptors,other"])
  }

  @Test("reads the vector of WELCOME")
  func welcomeVector() throws {
    let vector = try #require(Vectors.all.frames.first { $0.kind == "WELCOME" })
    let welcome = try #require(try welcome(bytes(hex: vector.bytes)))
    #expect(welcome.session == 7)
    #expect(welcome.callsInFlight == 4096)
    #expect(welcome.server == vector.metadata["server"])
    #expect(welcome.instance == vector.metadata["instance"])
    #expect(welcome.instance.count == 32)
    #expect(welcome.features == [])
    #expect(welcome.largestBodyBytes == 16_777_216)
  }

  @Test("reads features, and does without server, instance and features")
  func optionalParts() throws {
    let full = Bytes.entry("max-frame", "4294967295") + Bytes.entry("features", " descriptors,, x ")
    #expect(try welcome(Bytes.frame(.welcome, metadata: full))?.features == ["descriptors", "x"])
    let bare = try welcome(Bytes.frame(.welcome, metadata: Bytes.entry("max-frame", "1")))
    #expect(bare?.server == "" && bare?.instance == "" && bare?.features == [] && bare?.largestBodyBytes == 1)
  }

  @Test("is no welcome where max-frame is missing or no number of 32 bits")
  func withoutLimit() throws {
    #expect(try welcome(Bytes.frame(.welcome)) == nil)
    for value in ["", "x", "-1", "4294967296", "1.5", " 1"] {
      #expect(try welcome(Bytes.frame(.welcome, metadata: Bytes.entry("max-frame", value))) == nil, "\(value)")
    }
  }

  @Test("is no welcome, and no trap, where the frame was too large for the peer")
  func tooLarge() throws {
    let wire = Bytes.frame(.welcome, metadata: Bytes.entry("max-frame", "1"))
    #expect(try welcome(wire, largestBodyBytes: 3) == nil)
  }

  private func welcome(_ wire: [UInt8], largestBodyBytes: UInt32 = 1000) throws -> Welcome? {
    try wire.withUnsafeBytes { lent in
      var decoder = FrameDecoder(direction: .toPeer, largestBodyBytes: largestBodyBytes)
      decoder.begin(lent)
      defer { decoder.end() }
      return Welcome(try #require(try decoder.next()))
    }
  }
}
