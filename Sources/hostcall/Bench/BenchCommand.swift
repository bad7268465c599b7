import ArgumentParser
import Glibc
import HostcallClient
import HostcallWire

/// `hostcall bench`: how many calls there can be, and how long they take.
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure how fast calls are, and how many there can be.",
    discussion: """
      Without a name it serves an echo of its own on another connection, calls that, and compares every answer with \
      what was sent.

      With --depth each answer triggers the next call, so that a slow answer makes fewer calls. With --rate calls are \
      due at fixed times, whatever is answered, and latency counts from when a call was due: it has the time in which \
      a call had to wait for being sent. What could not be sent at all is shown as NOT SENT.

      The run lasts for --calls calls, --seconds seconds, whichever comes first, or five seconds. Ctrl-C ends it, and \
      what was measured is shown. The exit status is that of the first call that failed.

      Example:
        hostcall bench
        hostcall bench --depth 64 --connections 2 --seconds 10
        hostcall bench token.fetch --rate 5000 --seconds 30 --json
        hostcall bench --size 4096 --compare raw
      """)

  @Argument(
    help: "The function to call (default: an echo of the command's own).",
    completion: .custom(FunctionNames.complete))
  var function: String?

  @Option(
    help: ArgumentHelp("The same, as an option.", valueName: "function"), completion: .custom(FunctionNames.complete))
  var name: String?

  @Option(help: ArgumentHelp("How many calls are in flight on each connection (default: 1).", valueName: "number"))
  var depth: Int?

  @Option(help: ArgumentHelp("How many calls are due each second, on all connections together.", valueName: "number"))
  var rate: Double?

  @Option(help: ArgumentHelp("How many calls to make.", valueName: "number"))
  var calls: Int?

  @Option(help: ArgumentHelp("How long to make calls.", valueName: "seconds"))
  var seconds: Double?

  @Option(help: ArgumentHelp("How many bytes each payload has.", valueName: "bytes"))
  var size = 64

  @Option(help: ArgumentHelp("How many connections to call on.", valueName: "number"))
  var connections = 1

  @Option(
    help: ArgumentHelp("How many calls to make first and not to count, for a second at most.", valueName: "number"))
  var warmUp = 1_000

  @Option(
    help: ArgumentHelp(
      "How long each call may take, such as 250ms, 2s or 1m (default: the daemon's, 30s).", valueName: "duration"),
    transform: DurationText.parse)
  var timeout: Duration?

  @Option(help: ArgumentHelp("Measure a bare Unix socket too, one message of that size at a time.", valueName: "raw"))
  var compare: Comparison?

  @Flag(help: "Write all figures and parameters as JSON, for scripts.")
  var json = false

  @OptionGroup var connection: ConnectionOptions

  /// What calls can be compared with.
  enum Comparison: String, ExpressibleByArgument, CaseIterable {
    case raw
  }

  func validate() throws {
    if function != nil, name != nil { throw ValidationError("Give the function's name once, not also with --name.") }
    if let name = function ?? name, !NameRules.isName(name) {
      throw ValidationError(
        "“\(Diagnostics.oneLine(name))” is no name of a function: letters, digits, _ and - in parts joined by dots.")
    }
    if depth != nil, rate != nil {
      throw ValidationError(
        "--depth says how many calls are in flight, --rate when they are due: give one of the two.")
    }
    try Self.check("--depth", depth, 1...65_535)
    try Self.check("--calls", calls, 1...1_000_000_000)
    try Self.check("--size", size, 0...Int(UInt32.max))
    try Self.check("--connections", connections, 1...1_024)
    try Self.check("--warm-up", warmUp, 0...1_000_000)
    if let rate, !(rate >= 0.001 && rate <= 10_000_000) {
      throw ValidationError("--rate must be from 0.001 to 10000000 calls a second.")
    }
    if let seconds, !(seconds >= 0.001 && seconds <= 86_400) {
      throw ValidationError("--seconds must be from 0.001 to 86400.")
    }
    let bytes = (depth ?? 1) * connections * size
    guard size == 0 || bytes <= max(size, BenchPlan.mostBytesInFlight) else {
      throw ValidationError(
        "\(BenchText.count((depth ?? 1) * connections, "call")) of \(HumanText.bytes(UInt64(size))) would be "
          + "\(HumanText.bytes(UInt64(bytes))) in flight, and \(HumanText.bytes(UInt64(BenchPlan.mostBytesInFlight))) "
          + "may be: lower --depth, --connections or --size.")
    }
  }

  private static func check(_ option: String, _ value: Int?, _ range: ClosedRange<Int>) throws(ValidationError) {
    guard let value, !range.contains(value) else { return }
    throw ValidationError("\(option) must be from \(range.lowerBound) to \(range.upperBound).")
  }

  /// What the options say.
  var plan: BenchPlan {
    BenchPlan(
      load: rate.map { .open(callsPerSecond: $0) } ?? .closed(depth: depth ?? 1), connections: connections,
      calls: calls, seconds: seconds ?? (calls == nil ? BenchPlan.defaultSeconds : nil), sizeBytes: size,
      timeout: timeout, warmUpCalls: warmUp)
  }

  func run() async throws {
    let bench = Bench(
      plan: plan, function: function ?? name, comparesWithRaw: compare == .raw, connection: connection)
    let work = Task { try await bench.run() }
    Interruption.handle { number in
      if work.isCancelled { Interruption.leave(number) }
      work.cancel()
    }
    let result = try await work.value
    if json {
      try Output.writeLine(try result.report.json())
    } else {
      let width = TerminalSize.columns(of: STDOUT_FILENO) ?? TerminalSize.usualColumns
      let text = BenchText.text(
        result.report, result.tally.latencies, socketPath: result.socketPath, width: width)
      try Output.write(Array(text.utf8))
    }
    if let failure = result.failure(signal: Interruption.first) { throw failure }
  }
}
