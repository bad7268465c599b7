import ArgumentParser
import HostcallWire

/// `hostcall functions`: what can be called.
struct FunctionsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "functions",
    abstract: "List the functions, their workers and how they do.",
    discussion: """
      RUNNING and QUEUED are of this moment, CALLS and FAILED since the name is known. MEAN, P50, P99 and SLOWEST say \
      how long workers took.

      Example:
        hostcall functions --json | jq -r '.[].name'
      """)

  @OptionGroup var report: ReportOptions

  func run() async throws {
    try await report.show("hostcall.functions", as: [FunctionReport].self) { functions, _ in Self.text(functions) }
  }

  /// The table.
  static func text(_ functions: [FunctionReport]) -> String {
    guard !functions.isEmpty else { return "nobody has registered a function\n" }
    var table = TextTable([
      .text("FUNCTION"), .number("WORKERS"), .number("CONCURRENCY"), .number("RUNNING"), .number("QUEUED"),
      .number("CALLS"), .number("FAILED"), .number("MEAN"), .number("P50"), .number("P99"), .number("SLOWEST"),
    ])
    for function in functions {
      let latency = function.latency
      let times = [
        latency.meanMicroseconds, latency.p50Microseconds, latency.p99Microseconds, latency.maximumMicroseconds,
      ]
      table.append(
        [
          function.name, "\(function.workers)", "\(function.concurrency)", "\(function.running)",
          "\(function.queued)", "\(function.calls)", "\(function.failures)",
        ] + times.map { latency.count == 0 ? "-" : HumanText.duration(microseconds: $0) })
    }
    return table.text
  }
}
