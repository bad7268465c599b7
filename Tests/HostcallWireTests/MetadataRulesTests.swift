import HostcallWire
import Testing

@Suite("MetadataRules")
struct MetadataRulesTests {
  private func violation(_ bytes: [UInt8], _ direction: FrameDirection = .toDaemon) -> String? {
    lend(bytes) { MetadataRules.violation(in: $0, direction: direction) }
  }

  private func key(_ number: Int) -> String { "k\(number)" }

  @Test("take no entry, an empty value, and a value that fills all of it")
  func inOrder() {
    #expect(violation([]) == nil)
    #expect(violation(Bytes.entry("k", "")) == nil)
    #expect(violation(Bytes.entry("k", String(repeating: "v", count: 65_531))) == nil)
    #expect(violation(Bytes.entry("k", String(repeating: "v", count: 65_535))) == nil)
    #expect(violation(Bytes.entry("a", "1") + Bytes.entry("b", "1") + Bytes.entry("a-b", "")) == nil)
  }

  @Test("take a key of 1 to 64 bytes, not of 0 and not of 65")
  func keyLength() {
    for count in 0...70 {
      let isRight = violation(Bytes.entry(String(repeating: "k", count: count), "v")) == nil
      #expect(isRight == (1...64).contains(count), "\(count)")
    }
    #expect(violation(Bytes.entry(String(repeating: "k", count: 255), "v")) != nil)
  }

  @Test("take exactly a-z, 0-9 and - in a key")
  func keyBytes() {
    let allowed = Set("abcdefghijklmnopqrstuvwxyz0123456789-".utf8)
    for byte in UInt8.min ... .max {
      #expect((violation(Bytes.entry([97, byte], [])) == nil) == allowed.contains(byte), "\(byte)")
      #expect(lend([byte]) { MetadataRules.isKey($0) } == allowed.contains(byte), "\(byte)")
    }
  }

  @Test("refuse an entry that is cut short anywhere")
  func cutShort() {
    let entries = Bytes.entry("key", "value") + Bytes.entry("other", "x")
    let ends = [0, 11, entries.count]
    for count in 0...entries.count {
      #expect((violation(Array(entries.prefix(count))) == nil) == ends.contains(count), "\(count)")
    }
    #expect(violation([1, 97, 0xff, 0xff]) == "the metadata ends in the middle of an entry")
    #expect(violation([255]) == "the metadata ends in the middle of an entry")
  }

  @Test(
    "refuse a value that is not UTF-8 without NUL",
    arguments: [
      [0], [97, 0], [0x80], [0xc3], [0xc3, 0x28], [0xc0, 0x80], [0xc1, 0xbf], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf],
      [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xe2, 0x82], [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xf0, 0x9f, 0x99], [0xff], [0xfe], [97, 0xff, 97],
    ] as [[UInt8]])
  func notText(_ value: [UInt8]) {
    #expect(violation(Bytes.entry(Array("k".utf8), value)) == "the metadata value of k is not UTF-8 without NUL")
    // The value ends where its size says, whatever comes behind it.
    #expect(violation(Bytes.entry(Array("k".utf8), value) + Bytes.entry("l", "")) != nil)
  }

  @Test("take the first and last character of every length of UTF-8")
  func text() {
    for character in [
      "\u{1}", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}",
    ] {
      #expect(violation(Bytes.entry("k", character)) == nil)
      #expect(violation(Bytes.entry("k", String(repeating: character, count: 33))) == nil)
    }
  }

  @Test("refuse a key that begins with hostcall- from a peer and take it from the daemon")
  func daemonsKeys() {
    for key in ["hostcall-", "hostcall-caller-uid", "hostcall-x"] {
      #expect(violation(Bytes.entry(key, "1")) != nil)
      #expect(violation(Bytes.entry(key, "1"), .toPeer) == nil)
    }
    for key in ["hostcall", "hostcalls-x", "x-hostcall-", "host"] {
      #expect(violation(Bytes.entry(key, "1")) == nil)
    }
  }

  @Test("refuse a second entry of each key among 40, wherever it stands and whatever the values", arguments: 1...40)
  func duplicates(count: Int) {
    let entries = (0..<count).flatMap { Bytes.entry(key($0), String(repeating: "v", count: $0)) }
    #expect(violation(entries) == nil)
    for repeated in 0..<count {
      let reason = violation(entries + Bytes.entry(key(repeated), "other"))
      #expect(reason == "the metadata key k\(repeated) stands there twice")
    }
    #expect(violation(entries + Bytes.entry("k", "")) == nil)
  }

  @Test("take as many entries as fit, and find one key among them twice")
  func manyEntries() {
    var entries: [UInt8] = []
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789-".utf8)
    var number = 0
    while entries.count + 6 <= 65_535 - 6 {
      let key = [letters[number % 37], letters[number / 37 % 37], letters[number / 1369]]
      entries += Bytes.entry(key, [])
      number += 1
    }
    #expect(number == 10_921)
    #expect(violation(entries) == nil)
    #expect(violation(entries + entries.suffix(6))?.hasSuffix("stands there twice") == true)
    #expect(violation(entries + entries.prefix(6))?.hasSuffix("stands there twice") == true)
  }

  @Test("put keys beyond the sixteenth into a hashed set, each once, so that time does not grow with their square")
  func manyKeysAreHashed() {
    let entries = (0..<5000).flatMap { Bytes.entry(key($0), "v") }
    lend(entries) { lent in
      var reader = MetadataReader(lent)
      var keys = MetadataKeySet(of: lent)
      var count = 0
      while let entry = reader.next() {
        let isNew = keys.insert(entry.key)
        count += 1
        if !isNew || keys.hashedKeys != (count <= 16 ? 0 : count) { Issue.record("\(count): \(keys.hashedKeys)") }
      }
      #expect(count == 5000)
      #expect(!reader.isCutShort)
    }
  }
}
