/// A report as people read it.
enum BenchText {
  /// What was done, the figures, and how latencies are spread.
  ///
  /// - Parameters:
  ///   - record: the latencies that the report sums up.
  ///   - width: columns that there are.
  static func text(_ report: BenchReport, _ record: LatencyRecord, socketPath: String, width: Int) -> String {
    let parts = [
      heading(report, socketPath: socketPath), figures(report), failures(report), latencies(report), lateness(report),
      raw(report), LatencyPlot.text(record, width: width),
    ]
    return parts.filter { !$0.isEmpty }.joined(separator: "\n")
  }

  private static func heading(_ report: BenchReport, socketPath: String) -> String {
    let parameters = report.parameters
    let size = HumanText.bytes(UInt64(parameters.sizeBytes))
    let connections = count(parameters.connections, "connection")
    let eachConnection = parameters.connections == 1 ? connections : "each of \(connections)"
    let loop =
      if let callsPerSecond = parameters.callsPerSecond {
        "open loop: \(decimal(callsPerSecond)) calls due each second on \(connections)"
      } else {
        "closed loop: \(count(parameters.depth ?? 0, "call")) in flight on \(eachConnection)"
      }
    let echo = parameters.ownEcho ? ", an echo of this command's own" : ""
    return """
      \(parameters.function)\(echo), at \(socketPath)
      \(loop), \(size) a call\(report.interrupted ? ", interrupted" : "")

      """
  }

  private static func figures(_ report: BenchReport) -> String {
    var columns: [TextTable.Column] = [
      .number("CALLS"), .number("SECONDS"), .number("CALLS/S"), .number("FAILED"),
    ]
    var cells = [
      "\(report.calls)", decimal(report.seconds), decimal(report.callsPerSecond), "\(report.failed)",
    ]
    if let unsent = report.unsent {
      columns.append(.number("NOT SENT"))
      cells.append("\(unsent)")
    }
    if report.unfinished > 0 {
      columns.append(.number("UNFINISHED"))
      cells.append("\(report.unfinished)")
    }
    return table(columns, [cells])
  }

  private static func failures(_ report: BenchReport) -> String {
    var rows = report.failures.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { [$0.key, "\($0.value)"] }
    if let wrong = report.wrongAnswers, wrong > 0 { rows.append(["wrong answers", "\(wrong)"]) }
    return rows.isEmpty ? "" : table([.text("FAILURE"), .number("CALLS")], rows)
  }

  private static func latencies(_ report: BenchReport) -> String {
    let latency = report.latencyMicroseconds
    guard latency.p50 != nil else { return "" }
    return table(
      [.number("P50"), .number("P90"), .number("P99"), .number("P99.9"), .number("SLOWEST"), .number("MEAN")],
      [[latency.p50, latency.p90, latency.p99, latency.p999, latency.maximum, latency.mean].map(duration)])
  }

  /// One line: how late calls were sent, which is part of their latency.
  private static func lateness(_ report: BenchReport) -> String {
    guard let lateness = report.latenessMicroseconds else { return "" }
    let line =
      "latency counts from when a call was due; calls were sent \(duration(lateness.p50)) after that (p50), "
      + "\(duration(lateness.p99)) (p99)\n"
    guard let unsent = report.unsent, unsent > 0 else { return line }
    return line + "\(count(unsent, "call")) found no room by the end: more are due than are answered\n"
  }

  private static func raw(_ report: BenchReport) -> String {
    guard let raw = report.raw else { return "" }
    let call = report.latencyMicroseconds
    let socket = raw.latencyMicroseconds
    return table(
      [.text("COMPARED"), .number("P50"), .number("P99")],
      [
        ["calls", duration(call.p50), duration(call.p99)],
        ["raw socket, one message in flight", duration(socket.p50), duration(socket.p99)],
        ["times as long", raw.p50Ratio.map(decimal) ?? "-", raw.p99Ratio.map(decimal) ?? "-"],
      ])
  }

  private static func table(_ columns: [TextTable.Column], _ rows: [[String]]) -> String {
    var table = TextTable(columns)
    for row in rows { table.append(row) }
    return table.text
  }

  private static func duration(_ microseconds: Double?) -> String {
    microseconds.map { HumanText.duration(microseconds: $0) } ?? "-"
  }

  /// `1 call`, `2 calls`.
  static func count(_ number: Int, _ noun: String) -> String {
    "\(number) \(noun)\(number == 1 ? "" : "s")"
  }

  /// Two digits behind the point below ten, one below a hundred, else none; no zeros at the end.
  static func decimal(_ value: Double) -> String {
    let factor = value < 9.995 ? 100.0 : value < 99.95 ? 10.0 : 1.0
    let rounded = (value * factor).rounded() / factor
    return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
  }
}
