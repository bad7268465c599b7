import HostcallConfiguration
import Testing

/// How a configuration is refused.
@Suite struct SettingsErrorTests {
  private func reason(_ text: String) throws -> String {
    try #require(throws: SettingsError.self) { try Settings(text: text, path: "c.toml") }.description
  }

  @Test func anErrorIsOneLineWhateverTheFileSays() throws {
    #expect(try reason("\"a\\nb\\u001B\" = 1").hasPrefix("c.toml: unknown key a\\u000ab\\u001b ("))
    let verb = "[[policy]]\nname = \"r\"\nmay = [\"a\\r\\u0085\\u2028b\"]"
    #expect(try reason(verb).hasSuffix(", not “a\\u000d\\u0085\\u2028b”"))
    let pattern = "[[policy]]\nname = \"r\"\nusers = [1]\nmay = [\"call\"]\nwhat = [\"a\\n\"]"
    #expect(try reason(pattern).hasPrefix("c.toml:5: the rule “r” has “a\\u000a” in what"))
  }

  @Test func linesAreCountedInAFileFromWindows() throws {
    #expect(try reason("[limits]\r\nconnections = 3\r\nresends = 1000\r\n").hasPrefix("c.toml:3: limits.resends must"))
  }
}
