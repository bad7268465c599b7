import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// What the README and the page of guarantees tell is so.
@Suite struct ReadmeTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").path

  private static func text(_ path: String) -> String {
    String(decoding: Files.read("\(root)/\(path)"), as: UTF8.self)
  }

  @Test func itHasEveryLimitWithItsDefault() throws {
    let rows = Self.text("README.md").matches(of: #/\| `([a-z-]+)` \| ([0-9,]+) \| [a-z ]+ \|/#)
    let told = rows.map { "\($0.1) = \($0.2.replacing(",", with: ""))" }
    let daemon = try DaemonProcess()
    let info = try daemon.hostcall(["info", "--json"])
    let report = try JSONDecoder().decode(InfoReport.self, from: Data(info.output))
    #expect(told.sorted() == report.limits.map { "\($0.key) = \($0.value)" }.sorted())
  }

  /// The configuration that is shipped and its manual page have every key, with the default that holds.
  @Test func theShippedConfigurationHasEveryKeyWithItsDefault() throws {
    let shipped = Self.text("Scripts/systemd/hostcalld.toml")
    let manual = Self.text("Scripts/man/hostcalld.toml.5")
    let defaults = try Self.checked("")
    #expect(defaults.count > 40)
    for line in defaults where !line.hasPrefix("socket = ") {
      #expect(shipped.contains("\n# \(line)\n"), "\(line)")
      let parts = line.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      let value = parts[1].hasPrefix("\"") ? "Qq \(parts[1].dropFirst().dropLast())" : parts[1]
      #expect(manual.contains(".It Cm \(parts[0]) No = \(value)\n"), "\(line)")
    }
    // What stands there as a comment is what holds.
    let keys = shipped.split(separator: "# [[user-limits]]", maxSplits: 1)[0]
    let written = String(keys).replacing(#/(?m)^# (?=[a-z-]+ = [0-9"])/#, with: "")
    let socket = "socket = \"/run/hostcall/hostcall.sock\""
    #expect(try Self.checked(written) == [socket] + defaults.filter { !$0.hasPrefix("socket = ") })
  }

  /// The keys and values that hold with a configuration.
  private static func checked(_ configuration: String) throws -> [String] {
    let folder = TemporaryFolder()
    Files.write(configuration.utf8, to: folder.file("hostcalld.toml"))
    let process = try ChildProcess(
      "hostcalld", ["--check-config", "--config", folder.file("hostcalld.toml")],
      environment: ["HOSTCALL_SOCKET": folder.file("s")], output: folder.file("out"), errors: folder.file("errors"))
    #expect(process.wait() == 0, "\(process.standardError())")
    return String(decoding: Files.read(folder.file("out")), as: UTF8.self).split(separator: "\n").map(String.init)
      .filter { $0.contains(" = ") }
  }

  @Test func theTestsThatShowTheGuaranteesAreThere() throws {
    let page = Self.text("Sources/HostcallServer/HostcallServer.docc/Guarantees.md")
    let shown = page.split(separator: "\n").filter { $0.hasPrefix("- *Shown by:*") }.joined()
    let names = Set(shown.matches(of: #/`([A-Za-z]+)`/#).map { String($0.1) })
    #expect(names.count > 20)
    let paths = try FileManager.default.subpathsOfDirectory(atPath: "\(Self.root)/Tests")
    let tests = paths.filter { $0.hasSuffix(".swift") }.map { Self.text("Tests/\($0)") }.joined()
    for name in names { #expect(tests.contains("func \(name)(") || tests.contains("struct \(name) "), "\(name)") }
  }
}
