import Foundation

/// What floods have done.
package struct FloodReport: Sendable, CustomStringConvertible {
  package struct Round: Sendable {
    package let kind: FloodKind
    package let count: Int
    /// Of a bystander's calls: before the flood, while it comes, and while it stands.
    package let quiet: Latencies
    package let coming: Latencies
    package let standing: Latencies
    /// What the daemon holds while the flood stands.
    package let residentKilobytes: Int
  }

  /// How often the quiet 99th percentile that of a flood may be.
  package static let mostTimesQuiet = 2.0
  /// What of its memory at the start the daemon may have at the end.
  package static let mostMemoryAtTheEnd = 1.1

  package private(set) var rounds: [Round] = []
  package var residentKilobytes = (start: 0, end: 0)
  /// What the daemon holds at the end and did not at the start.
  package var difference: String?

  mutating func add(_ round: Round) {
    rounds.append(round)
  }

  /// The median over the rounds of the 99th percentile of a flood divided by the quiet one of the same round.
  package func timesQuiet(_ kind: FloodKind, _ latencies: (Round) -> Latencies) -> Double {
    Self.median(rounds.filter { $0.kind == kind }.map { latencies($0).p99 / $0.quiet.p99 })
  }

  /// The kinds of flood that were tried, in order.
  private var kinds: [FloodKind] { FloodKind.allCases.filter { kind in rounds.contains { $0.kind == kind } } }

  package var isWithinBounds: Bool {
    difference == nil && isMemoryBack
      && kinds.allSatisfy {
        timesQuiet($0, \.standing) <= Self.mostTimesQuiet && timesQuiet($0, \.coming) <= Self.mostTimesQuiet
      }
  }

  package var isMemoryBack: Bool {
    Double(residentKilobytes.end) <= Double(residentKilobytes.start) * Self.mostMemoryAtTheEnd
  }

  package var description: String {
    var lines = [
      "microseconds of a bystander's calls, p50/p99, medians of the rounds; times: p99 against the quiet one",
      Self.columns(["flood", "count", "quiet", "coming", "times", "standing", "times", "MiB"]),
    ]
    for kind in kinds {
      let own = rounds.filter { $0.kind == kind }
      func figures(_ latencies: (Round) -> Latencies) -> String {
        let (p50, p99) = (own.map { latencies($0).median }, own.map { latencies($0).p99 })
        return String(format: "%.0f/%.0f", Self.median(p50), Self.median(p99))
      }
      func times(_ latencies: (Round) -> Latencies) -> String {
        let times = timesQuiet(kind, latencies)
        return String(format: "%.2f", times) + (times > Self.mostTimesQuiet ? "!" : "")
      }
      let resident = Self.median(own.map { Double($0.residentKilobytes) / 1_024 })
      lines.append(
        Self.columns([
          kind.rawValue, "\(own[0].count)", figures(\.quiet), figures(\.coming), times(\.coming), figures(\.standing),
          times(\.standing), String(format: "%.1f", resident),
        ]))
    }
    lines.append(
      "hostcalld had \(residentKilobytes.start) KiB at the start and \(residentKilobytes.end) at the end"
        + (isMemoryBack ? "" : ": too much"))
    if let difference { lines.append("WRONG: hostcalld does not let go: \(difference)") }
    return lines.joined(separator: "\n")
  }

  private static func columns(_ texts: [String]) -> String {
    texts.enumerated().map { index, text in
      let space = String(repeating: " ", count: max(0, 13 - text.count))
      return index == 0 ? text + space : space + text
    }.joined(separator: " ")
  }

  private static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
  }
}
