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
