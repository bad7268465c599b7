import ArgumentParser
import HostcallWire

/// `hostcall stats`: what the daemon has done.
struct StatsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats",
    abstract: "Show what the daemon has done since it began.",
    discussion: """
      Example:
        hostcall stats --json | jq .callsAccepted
      """)

  @OptionGroup var report: ReportOptions

  func run() async throws {
    try await report.show("hostcall.stats", as: StatsReport.self) { stats, _ in Self.text(stats) }
  }

  /// Two tables: numbers, and outcomes where there were any.
  static func text(_ stats: StatsReport) -> String {
    var numbers = TextTable([.text("SINCE THE DAEMON BEGAN"), .number("NUMBER")])
    numbers.append(["calls accepted", "\(stats.callsAccepted)"])
    numbers.append(["calls refused", "\(stats.callsRefused)"])
    numbers.append(["calls sent again", "\(stats.callsSentAgain)"])
    numbers.append(["completions rejected", "\(stats.completionsRejected)"])
    numbers.append(["protocol errors", "\(stats.protocolErrors)"])
    numbers.append(["denied by policy", "\(stats.policyDenials)"])
    numbers.append(["peers connected", "\(stats.peersConnected)"])
    numbers.append(["events published", "\(stats.eventsPublished)"])
    numbers.append(["events dropped", "\(stats.eventsDropped)"])
    var moment = TextTable([.text("NOW"), .number("NUMBER")])
    moment.append(["calls in flight", "\(stats.callsInFlight)"])
    moment.append(["calls queued", "\(stats.callsQueued)"])
    moment.append(["streams", "\(stats.streams)"])
    moment.append(["peers", "\(stats.peers)"])
    moment.append(["functions", "\(stats.functions)"])
    moment.append(["stored payloads", HumanText.bytes(UInt64(max(0, stats.storedPayloadBytes)))])
    guard !stats.outcomes.isEmpty else { return "\(numbers.text)\n\(moment.text)" }
    var outcomes = TextTable([.text("OUTCOME"), .number("CALLS")])
    for (status, count) in stats.outcomes.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
      outcomes.append([status, "\(count)"])
    }
    return "\(numbers.text)\n\(moment.text)\n\(outcomes.text)"
  }
}
