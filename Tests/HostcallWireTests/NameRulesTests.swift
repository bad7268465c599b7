import HostcallWire
import Testing

@Suite("NameRules")
struct NameRulesTests {
  @Test(
    "take segments of letters, digits, _ and - joined by single dots as a name",
    arguments: ["a", "Z", "0", "_", "-", "token.fetch", "my.handler", "a.b.c.d", "A-1_b.-._", "hostcall.echo"])
  func names(_ name: String) {
    #expect(NameRules.isName(name))
    #expect(!NameRules.isPattern(name))
    #expect(NameRules.isPattern(name + ".*"))
  }

  @Test(
    "refuse everything else as a name",
    arguments: [
      "", ".", "..", ".a", "a.", "a..b", "a b", "a/b", "a\0", "a\n", "é", "ａ", "a*", "*", "a.*", "a.*.b", "*.a", "a:b",
    ])
  func notNames(_ name: String) {
    #expect(!NameRules.isName(name))
  }

  @Test("allow exactly 64 bytes inside of a segment")
  func everyByte() {
    let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-".utf8)
    #expect(allowed.count == 64)
    for byte in UInt8.min ... .max {
      #expect(lend([byte]) { NameRules.isName($0) } == allowed.contains(byte), "\(byte)")
      #expect(lend([97, byte, 97]) { NameRules.isName($0) } == (allowed.contains(byte) || byte == 46), "\(byte)")
    }
  }

  @Test("take 255 bytes as a name or pattern, not 256")
  func longest() {
    for letter in ["a", "a.", "ab."] {
      let long = String(repeating: letter, count: 300)
      for count in [253, 254, 255, 256, 257] {
        let name = String(long.prefix(count))
        #expect(NameRules.isName(name) == (count <= 255 && name.last != "."), "\(count)")
        #expect(
          NameRules.isPattern(String(long.prefix(count - 2)) + ".*")
            == (count <= 255 && long.prefix(count - 2).last != "."))
      }
    }
  }

  @Test(
    "take as a pattern the star alone, or a name, a dot and a star",
    arguments: [
      ("*", true), ("a.*", true), ("a.b.*", true), ("hostcall.*", true), ("", false), (".*", false), ("a*", false),
      ("**", false), ("a.**", false), ("a.*.*", false), ("*.*", false), ("a..*", false), (".a.*", false), ("a", false),
      ("a b.*", false), ("a.* ", false), ("* ", false),
    ])
  func patterns(_ text: String, _ isPattern: Bool) {
    #expect(NameRules.isPattern(text) == isPattern)
  }

  @Test(
    "match everything below the name of a pattern but not the name itself, and everything by the star",
    arguments: [
      ("a.*", "a.b", true), ("a.*", "a.b.c", true), ("a.*", "a", false), ("a.*", "ab", false), ("a.*", "ab.c", false),
      ("a.*", "b.a.c", false), ("a.*", "A.b", false), ("a.b.*", "a.b.c", true), ("a.b.*", "a.b", false),
      ("a.b.*", "a.c", false), ("a.b.*", "a.bc.d", false), ("*", "a", true), ("*", "a.b", true),
      ("*", "hostcall.echo", true), ("token.*", "token.fetch", true),
    ])
  func matching(_ pattern: String, _ name: String, _ matches: Bool) {
    let isMatch = lend(Array(pattern.utf8)) { pattern in
      lend(Array(name.utf8)) { NameRules.pattern(pattern, matches: $0) }
    }
    #expect(isMatch == matches)
  }

  @Test(
    "reserve what begins with hostcall. for the daemon",
    arguments: [
      ("hostcall.echo", true), ("hostcall.*", true), ("hostcall.a.b", true), ("hostcall", false),
      ("hostcalls.a", false),
      ("Hostcall.echo", false), ("a.hostcall.b", false), ("*", false), ("", false), ("host", false),
    ])
  func reserved(_ name: String, _ isReserved: Bool) {
    #expect(lend(Array(name.utf8)) { NameRules.isReserved($0) } == isReserved)
  }
}
