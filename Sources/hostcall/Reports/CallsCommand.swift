import ArgumentParser
import HostcallWire

/// `hostcall calls`: what is under way.
struct CallsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calls",
    abstract: "List the calls in flight.",
    discussion: """
      CALLER and WORKER are sessions, as hostcall peers shows them. A call that is abandoned has ended for its caller, \
      and its worker has not completed it yet.

      Example:
        hostcall calls
      """)

  @OptionGroup var report: ReportOptions

  func run() async throws {
    try await report.show("hostcall.calls", as: [CallReport].self) { calls, _ in Self.text(calls) }
  }

  /// The table, without the call that asked for it.
  static func text(_ calls: [CallReport]) -> String {
    let calls = calls.filter { $0.function != "hostcall.calls" }
    guard !calls.isEmpty else { return "no calls are in flight\n" }
    var table = TextTable([
      .number("CALL"), .text("FUNCTION"), .text("STATE"), .number("CALLER"), .number("WORKER"), .number("AGE"),
      .number("LEFT"), .number("ATTEMPTS"),
    ])
    for call in calls {
      table.append([
        "\(call.correlationID)", call.function, call.state, call.caller.map { "\($0)" } ?? "-",
        call.worker.map { "\($0)" } ?? "-", HumanText.duration(milliseconds: call.ageMilliseconds),
        call.leftMilliseconds.map { HumanText.duration(milliseconds: $0) } ?? "-", "\(call.attempts)",
      ])
    }
    return table.text
  }
}
