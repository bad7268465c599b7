import ArgumentParser
import HostcallClient
import HostcallWire

/// `hostcall info`: which daemon this is, and its limits.
struct InfoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info",
    abstract: "Show which daemon answers, and its limits.",
    discussion: """
      Example:
        hostcall info --json | jq '.limits["frame-bytes"]'
      """)

  @OptionGroup var report: ReportOptions

  func run() async throws {
    try await report.show("hostcall.info", as: InfoReport.self) { Self.text($0, socketPath: $1.socketPath) }
  }

  /// Two tables: the daemon, and its limits.
  static func text(_ info: InfoReport, socketPath: String) -> String {
    var daemon = TextTable([.text("DAEMON"), .text(Diagnostics.oneLine("\(info.server)"))])
    daemon.append(["version", info.version])
    daemon.append(["socket", socketPath])
    daemon.append(["pid", "\(info.processID)"])
    daemon.append(["uptime", HumanText.duration(seconds: info.uptimeSeconds)])
    daemon.append(["instance", info.instance])
    daemon.append(["protocol", "\(info.protocolVersion)"])
    var limits = TextTable([.text("LIMIT"), .number("VALUE")])
    for (name, value) in info.limits.sorted(by: { $0.key < $1.key }) {
      limits.append([name, text(of: value, named: name)])
    }
    return "\(daemon.text)\n\(limits.text)"
  }

  /// The unit of a limit is in its name.
  private static func text(of value: UInt64, named name: String) -> String {
    let words = name.split(separator: "-")
    if words.contains("milliseconds") { return HumanText.duration(milliseconds: value) }
    if words.contains("bytes") { return HumanText.bytes(value) }
    return "\(value)"
  }
}
