import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// `[[user-limits]]` of the configuration, and what meeting a limit of a user looks like.
@Suite("Limits of users")
struct DaemonUserLimitsTests {
  private let folder = TemporaryFolder()

  private func check(_ text: String) throws -> DaemonProcess.Outcome {
    let file = folder.file("hostcalld.toml")
    Files.write(text.utf8, to: file)
    return try DaemonProcess().run("hostcalld", ["--config", file, "--check-config"])
  }

  @Test func someUsersHaveOtherLimits() throws {
    let daemon = try DaemonProcess(
      configuration: """
        [limits]
        calls-in-flight-per-connection = 1

        [[user-limits]]
        users = [\(getuid()), 4000000]
        calls-in-flight-per-connection = 2
        """)
    let caller = try RawPeer(daemon.socketPath)
    for request in 1...3 as ClosedRange<UInt64> { try caller.call("f", request: request, flags: .wait) }
    let result = try caller.expect(.result)
    #expect(result.header.id == 3 && result.header.status == .overloaded)
    #expect(result.text.contains("this connection has 2 calls in flight"))
  }

  @Test func whoMeetsALimitIsNamedInTheLog() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\ncalls-in-flight-per-user = 2\n")
    let caller = try RawPeer(daemon.socketPath)
    for request in 1...50 as ClosedRange<UInt64> { try caller.call("f", request: request, flags: .wait) }
    for _ in 3...50 { #expect(try caller.expect(.result).header.status == .overloaded) }
    try eventually("the log says so") { daemon.standardError().contains("limit met") }
    let lines = daemon.standardError().split(separator: "\n").filter { $0.contains("limit met") }
    #expect(lines.count == 1)
    let line = try #require(lines.first)
    #expect(line.contains("uid=\(getuid()) pid=\(getpid()) limit=calls-in-flight-per-user value=2"), "\(line)")
  }

  @Test func theyAreShownAsTheyWereWritten() throws {
    let outcome = try check("[[user-limits]]\nusers = [\"root\", 7]\nconnections-per-user = 3\n")
    #expect(outcome.text.hasSuffix("\n[[user-limits]]\nusers = [\"root\", 7]\nconnections-per-user = 3\n"))
    #expect(try check(outcome.text).text == outcome.text)
  }

  @Test(arguments: [
    ("[[user-limits]]\nusers = [7]\nconnections = 3", ":3: unknown key user-limits.connections (it holds for all"),
    ("[[user-limits]]\nusers = [7]\nconnection = 3", ":3: unknown key user-limits.connection (hostcalld"),
    ("[[user-limits]]\nusers = [7]\nconnections-per-user = 0", ":3: user-limits.connections-per-user must be a whole"),
    ("[[user-limits]]\nconnections-per-user = 5", ":1: user-limits must say for which users"),
    ("[[user-limits]]\nusers = [\"nobody-of-that-name\"]", ":2: there is no user called “nobody-of-that-name” here"),
    ("[[user-limits]]\nusers = [7]\n[[user-limits]]\nusers = [8, 7]", ":4: user 7 has user-limits twice"),
    ("[user-limits]\nusers = [7]", ":1: user-limits must be a list of limits for users"),
    (
      "[[user-limits]]\nusers = [7]\noutput-bytes-before-close = 131072",
      ":3: output-bytes-before-close is 131072, not above output-bytes-per-connection, 8388608"
    ),
  ])
  func mistakesAreRefusedByTheirLine(_ text: String, _ reason: String) throws {
    let outcome = try check(text)
    #expect(outcome.status == 1 && outcome.errors.contains("hostcalld.toml" + reason), "\(outcome.errors)")
  }
}
