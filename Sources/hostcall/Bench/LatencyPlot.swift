/// How latencies are spread, as a bar for each range of them; the slowest in a thousand share the last range, so that
/// they leave the others their room.
enum LatencyPlot {
  /// Rows at most; wider ranges are taken where there would be more.
  static let mostRows = 16
  /// Columns below which no bar is drawn any narrower.
  static let narrowestWidth = 40

  /// What each power of ten is divided into, the finest first.
  private static let ladders: [[Double]] = [
    [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8], [1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1],
  ]

  /// The lines, each ended and none wider than `width` columns; nothing where nothing was measured.
  static func text(_ record: LatencyRecord, width: Int) -> String {
    guard let shortest = record.shortestMicroseconds, let longest = record.longestMicroseconds else { return "" }
    let slow = record.microseconds(atPercentile: 99.9) ?? longest
    let bounds = bounds(fromMicroseconds: shortest, to: slow, longest: longest)
    let counts = record.counts(betweenMicroseconds: bounds)
    let ranges = counts.indices.map { place in
      (HumanText.duration(microseconds: bounds[place]), HumanText.duration(microseconds: bounds[place + 1]))
    }
    let lowerWidth = ranges.map(\.0.count).max() ?? 0
    let upperWidth = ranges.map(\.1.count).max() ?? 0
    let countWidth = max("CALLS".count, counts.map { "\($0)".count }.max() ?? 0)
    let labelWidth = lowerWidth + 3 + upperWidth
    let barWidth = max(width, narrowestWidth) - labelWidth - countWidth - 4
    let most = counts.max() ?? 0
    var text = padded("LATENCY", labelWidth, atEnd: true) + "  " + padded("CALLS", countWidth) + "\n"
    for (range, count) in zip(ranges, counts) {
      let label = "\(padded(range.0, lowerWidth)) – \(padded(range.1, upperWidth))"
      let bar = bar(Double(count) / Double(max(1, most)), width: max(1, barWidth))
      text += "\(label)  \(padded("\(count)", countWidth))\(bar.isEmpty ? "" : "  \(bar)")\n"
    }
    return text
  }

  /// A bar for a share of the width, in eighths of a column; what is more than nothing can be seen.
  static func bar(_ share: Double, width: Int) -> String {
    guard share > 0 else { return "" }
    let eighths = max(1, Int((share * Double(width) * 8).rounded()))
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
  }

  /// Bounds of the ranges in microseconds: round numbers, the first at or below the shortest, the last above the longest,
  /// with one range for all that is above `slow` and its neighbours.
  static func bounds(fromMicroseconds shortest: Double, to slow: Double, longest: Double) -> [Double] {
    var chosen: [Double] = []
    for ladder in ladders where chosen.isEmpty || chosen.count > mostRows {
      chosen = bounds(on: ladder, shortest, slow)
    }
    if let last = chosen.last, last <= longest { chosen += bounds(on: ladders[0], longest, longest).suffix(1) }
    return chosen
  }

  private static func bounds(on ladder: [Double], _ shortest: Double, _ longest: Double) -> [Double] {
    // From nothing to more than is recorded.
    var steps = [0.0]
    var decade = 1.0
    while decade < 1e11 {
      steps += ladder.map { $0 * decade }
      decade *= 10
    }
    // Below ten microseconds there are whole ones alone, as they are written.
    steps.removeAll { $0 < 10 && $0 != $0.rounded() }
    let first = steps.lastIndex { $0 <= shortest } ?? 0
    let last = steps.firstIndex { $0 > longest } ?? steps.count - 1
    return Array(steps[first...max(last, first + 1)])
  }

  private static func padded(_ text: String, _ width: Int, atEnd: Bool = false) -> String {
    let padding = String(repeating: " ", count: max(0, width - text.count))
    return atEnd ? text + padding : padding + text
  }
}
