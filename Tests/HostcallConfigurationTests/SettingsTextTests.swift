import HostcallBridge
import HostcallConfiguration
import Testing

/// Texts that the TOML library would not survive, or would read in part.
@Suite struct SettingsTextTests {
  private func reason(_ text: String) -> String {
    do throws(SettingsError) {
      _ = try Settings(text: text, path: "c.toml")
      return ""
    } catch {
      return error.description
    }
  }

  @Test(arguments: [
    ("[log]\nlevel = \"debug\"\n\0", 3, "there is a NUL"),
    ("# \0", 1, "there is a NUL"),
    ("[server]\nsocket = \"/tmp/a\\u0000b\"", 2, "there is a NUL"),
    ("[server]\nsocket = \"\"\"\n\\\\\\U00000000b\"\"\"", 3, "there is a NUL"),
    ("\"log\\u0000\".level = \"debug\"", 1, "there is a NUL"),
    ("\n[,limits]", 2, "the name of a table is expected"),
    ("[\nlimits]", 1, "the name of a table is expected"),
    ("\t[ [ .a]]", 1, "the name of a table is expected"),
    ("[[[a]]]", 1, "the name of a table is expected"),
    ("\u{feff}[#", 1, "the name of a table is expected"),
    ("a = [1, }", 1, "a list ends with }"),
    ("a = { b = [\"]\", # ]\n}}", 2, "a list ends with }"),
    ("a = '''\n'' ''''' \nb = [}", 3, "a list ends with }"),
    ("a = [\u{2028}]", 1, "only texts in quotes and comments"),
    ("[limits]\nresends = 1979-05-27 7\n", 2, "a number has - in it (no key takes a date)"),
    ("[limits]\nresends = 1979-05-27T:7", 2, "a number has - in it"),
    ("1=19[9-05-2= 7\n", 1, "a number has - in it"),
    ("a = [1, 1\"79-05-2s 7\n", 1, "a number has \" in it"),
  ])
  func whatWouldEndTheProcessOrCutTheTextIsRefusedWithItsLine(_ text: String, _ line: Int, _ expected: String) {
    let reason = reason(text)
    #expect(reason.hasPrefix("c.toml:\(line): ") && reason.contains(expected), "\(reason)")
  }

  @Test(arguments: ["[%]", "[[%]]", "% = 1", "a = { % = 1 }", "a = [{ b = 1, % = 1 }]"])
  func aKeyOfVeryManyPartsIsRefused(_ form: String) {
    func key(_ parts: Int) -> String { Array(repeating: "\"a.b\"", count: parts).joined(separator: " . ") }
    func text(_ parts: Int) -> String {
      form.split(separator: "%", omittingEmptySubsequences: false).joined(separator: key(parts))
    }
    #expect(reason(text(100_000)) == "c.toml:1: a key has more than 8 parts")
    #expect(reason(text(9)) == "c.toml:1: a key has more than 8 parts")
    #expect(reason(text(8)).contains("unknown key"))
  }

  @Test func valuesInsideOneAnotherHaveALimit() {
    for open in ["[", "{a=", "{a.b.c.d.e.f.g.h="] {
      let reason = reason("a = " + String(repeating: open, count: 50_000))
      #expect(reason.hasPrefix("c.toml:1: this is not TOML: "), "\(reason)")
    }
  }

  @Test func whatOnlyLooksLikeThatIsTaken() throws {
    let text = """
      \u{feff}# [, } a.b.c.d.e.f.g.h.i 1979-05-27 7 " ' \u{2028} \\u0000
      [server] # [,
      socket = "/a.b.c.d.e.f.g.h.i [,}] 1979-05-27 7 \\" \\\\u0000 # \u{2028} ü"
        [[policy]]
      name = '[} \\u0000'
      users = [ 1,
        2 , # ]
      ]
      may = ["call"]
      what = ["a.b.c", "d.e.f", "g.h.i", "j.k.l", "m.n.o"]
      [[policy]]
      name = \"""
      [} " ""\\
      "\"""
      users = ["*"]
      may = ["call"]
      what = ['''a''']
      """
    let settings = try Settings(text: text, path: "c.toml")
    #expect(settings.socketPath == "/a.b.c.d.e.f.g.h.i [,}] 1979-05-27 7 \" \\u0000 # \u{2028} ü")
    #expect(settings.policy.rules.map(\.name) == ["[} \\u0000", "[} \" \"\"\""])
    #expect(settings.policy.rules.first?.what.count == 5)
  }
}
