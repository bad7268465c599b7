import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// What the README tells newcomers is so.
@Suite struct ReadmeTests {
  private static let readme: String = {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../README.md").path
    return String(decoding: Files.read(path), as: UTF8.self)
  }()

  @Test func itHasEveryLimitWithItsDefault() throws {
    let rows = Self.readme.matches(of: #/\| `([a-z-]+)` \| ([0-9,]+) \| [a-z ]+ \|/#)
    let told = rows.map { "\($0.1) = \($0.2.replacing(",", with: ""))" }
    let daemon = try DaemonProcess()
    let info = try daemon.hostcall(["info", "--json"])
    let report = try JSONDecoder().decode(InfoReport.self, from: Data(info.output))
    #expect(told.sorted() == report.limits.map { "\($0.key) = \($0.value)" }.sorted())
  }
}
