import HostcallWire
import Testing

@Suite("Metadata")
struct MetadataTests {
  @Test("keeps the order in which keys were written first, and one value for each")
  func order() throws {
    var metadata: Metadata = ["b": "1", "a": "2"]
    try metadata.set("c", to: "3")
    metadata["b"] = "4"
    #expect(
      metadata.entries == [.init(key: "b", value: "4"), .init(key: "a", value: "2"), .init(key: "c", value: "3")])
    #expect(metadata["a"] == "2" && metadata["b"] == "4" && metadata["c"] == "3" && metadata["d"] == nil)
    metadata["a"] = nil
    metadata["d"] = nil
    #expect(metadata.entries.map(\.key) == ["b", "c"])
    metadata["b"] = nil
    metadata["c"] = nil
    #expect(metadata.isEmpty && metadata == Metadata() && metadata == [:] && metadata.encodedBytes == 0)
  }

  @Test("takes keys of 1 to 64 bytes of a-z 0-9 - and refuses others, saying which")
  func keys() {
    var metadata = Metadata()
    for key in ["a", "0", "-", "hostcall-caller-uid", String(repeating: "k", count: 64)] {
      #expect(throws: Never.self) { try metadata.set(key, to: "") }
    }
    let before = metadata
    for key in ["", "A", "a b", "a_b", "é", "a\0", String(repeating: "k", count: 65)] {
      let error = #expect(throws: MetadataError.self) { try metadata.set(key, to: "v") }
      #expect(error?.description == "metadata key “\(key)” is not 1 to 64 of the characters a-z 0-9 -")
    }
    #expect(metadata == before)
  }

  @Test("takes values without NUL of up to 65,535 bytes in all with their keys, and not a byte more")
  func values() throws {
    for (count, fits) in [
      (0, true), (65_531, true), (65_532, false), (65_535, false), (65_536, false), (100_000, false),
    ] {
      var metadata = Metadata()
      let value = String(repeating: "v", count: count)
      if fits {
        try metadata.set("k", to: value)
        #expect(metadata["k"] == value && metadata.encodedBytes == count + 4)
      } else {
        #expect(throws: MetadataError.self) { try metadata.set("k", to: value) }
        #expect(metadata.isEmpty)
      }
    }
    var metadata = Metadata()
    #expect(throws: MetadataError.self) { try metadata.set("k", to: "a\0b") }
    #expect(metadata.isEmpty)
    try metadata.set("k", to: "é漢🙂\u{1}")
    #expect(metadata.encodedBytes == 4 + 10)
  }

  @Test("stays as it was where setting a value fails, also where the key had a value")
  func failedSetChangesNothing() throws {
    var metadata: Metadata = ["a": "1", "b": "2", "c": "3"]
    let before = metadata
    for value in [String(repeating: "v", count: 65_530), String(repeating: "v", count: 70_000), "\0"] {
      #expect(throws: MetadataError.self) { try metadata.set("b", to: value) }
      #expect(metadata == before)
      #expect(throws: MetadataError.self) { try metadata.set("new", to: value) }
      #expect(metadata == before)
    }
    // What is replaced makes room.
    let rest = String(repeating: "v", count: 65_535 - metadata.encodedBytes + 1)
    try metadata.set("b", to: rest)
    #expect(metadata.encodedBytes == 65_535 && metadata["b"] == rest)
    try metadata.set("b", to: rest)
    #expect(throws: MetadataError.self) { try metadata.set("b", to: rest + "v") }
    #expect(metadata["b"] == rest)
  }

  @Test("goes over the wire as section 2 says and comes back the same")
  func roundTrip() {
    let metadata: Metadata = ["trace-id": "é", "empty": "", "long": String(repeating: "x", count: 300)]
    var wire: [UInt8] = [9]
    metadata.encode(into: &wire)
    #expect(wire == [9] + metadata.entries.flatMap { Bytes.entry($0.key, $0.value) })
    #expect(wire.count == 1 + metadata.encodedBytes)
    let back = lend(Array(wire.dropFirst())) { bytes in
      #expect(MetadataRules.violation(in: bytes, direction: .toDaemon) == nil)
      return Metadata(decoding: bytes)
    }
    #expect(back == metadata)
    #expect(lend([]) { Metadata(decoding: $0) } == Metadata())
  }

  @Test("reads the entries before one that is cut short, and no byte behind the end")
  func cutShort() {
    let wire = Bytes.entry("a", "1") + Bytes.entry("b", "2")
    for count in 0..<wire.count {
      let metadata = lend(Array(wire.prefix(count))) { Metadata(decoding: $0) }
      #expect(metadata.entries.count == count / 5)
    }
  }
}
