import HostcallBridge
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

  @Test(arguments: [
    ("functions = [\"a\"]\ncommand = [\"/w\"]", "c.toml:1: a worker must have a name"),
    ("name = \"w\"\ncommand = [\"/w\"]", "c.toml:1: a worker must say which functions it registers"),
    ("name = \"w\"\nfunctions = []\ncommand = [\"/w\"]", "c.toml:3: worker.functions must be a list of at least one"),
    ("name = \"w\"\nfunctions = [\"hostcall.x\"]\ncommand = [\"/w\"]", "c.toml:3: “hostcall.x” is no name or pattern"),
    ("name = \"w\"\nfunctions = [\"a\"]", "c.toml:1: a worker must have either a command or a unit"),
    (
      "name = \"w\"\nfunctions = [\"a\"]\ncommand = [\"/w\"]\nunit = \"w\"",
      "c.toml:1: a worker must have either a command or a unit"
    ),
    (
      "name = \"w\"\nfunctions = [\"a\"]\ncommand = [\"w\"]",
      "c.toml:4: worker.command must be a program by its whole path"
    ),
    (
      "name = \"w\"\nfunctions = [\"a\"]\nunit = \"../w\"",
      "c.toml:4: worker.unit must be NAME of hostcall-worker@NAME.path"
    ),
    (
      "name = \"w\"\nfunctions = [\"a\"]\nunit = \"w\"\nstarts = 0",
      "c.toml:5: worker.starts must be a whole number from 1"
    ),
    (
      "name = \"w\"\nfunctions = [\"a\"]\nunit = \"w\"\ncolour = 0",
      "c.toml:5: unknown key worker.colour (a worker has name"
    ),
    (
      "name = \"w\"\nfunctions = [\"a\"]\nunit = \"w\"\n[[worker]]\nname = \"w\"\nfunctions = [\"b\"]\nunit = \"v\"",
      "c.toml:6: two workers are called “w”"
    ),
    (
      "name = \"w\"\nfunctions = [\"a\"]\nunit = \"w\"\n[[worker]]\nname = \"v\"\nfunctions = [\"a\"]\nunit = \"v\"",
      "c.toml:7: the worker “w” has a already"
    ),
  ])
  func aWorkerThatCannotBeIsRefused(_ worker: String, _ wanted: String) throws {
    let reason = try reason("[[worker]]\n" + worker)
    #expect(reason.hasPrefix(wanted), "\(reason)")
  }

  @Test func workersStandThereAsTheyWereWritten() throws {
    let text = """
      [[worker]]
      name = "a \\"worker\\""
      functions = ["a", "b.*"]
      command = ["/bin/w", "--x"]
      starts = 3

      [[worker]]
      name = "unit"
      functions = ["c"]
      unit = "c-1.d"
      """
    let settings = try Settings(text: text, path: "c.toml")
    #expect(
      settings.workers.count == 2 && settings.workers[0].starts == 3 && settings.workers[1].launch == .unit("c-1.d"))
    let again = try Settings(text: settings.description(socketPath: "/s"), path: "again.toml")
    #expect(again.workers == settings.workers)
  }

  @Test func linesAreCountedInAFileFromWindows() throws {
    #expect(try reason("[limits]\r\nconnections = 3\r\nresends = 1000\r\n").hasPrefix("c.toml:3: limits.resends must"))
  }
}
