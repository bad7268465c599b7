import Histogram

/// Durations, counted with three significant digits from a nanosecond to an hour, whatever their number.
struct LatencyRecord: Sendable {
  private static let longestNanoseconds: UInt64 = 3_600_000_000_000

  private var histogram = Histogram<UInt64>(
    highestTrackableValue: longestNanoseconds, numberOfSignificantValueDigits: .three)

  /// How many there are.
  var count: UInt64 { histogram.totalCount }

  /// Adds one. What is shorter than a nanosecond counts as one, what is longer than an hour as an hour.
  mutating func record(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let clamped = min(max(0, seconds), 3_600)
    let nanoseconds = UInt64(clamped) * 1_000_000_000 + UInt64(max(0, attoseconds) / 1_000_000_000)
    histogram.record(min(max(1, nanoseconds), Self.longestNanoseconds))
  }

  /// The microseconds within which that many percent of them lie; nil where there are none.
  func microseconds(atPercentile percentile: Double) -> Double? {
    figure { Double($0.valueAtPercentile(percentile)) }
  }

  /// Microseconds, nil where there are none.
  var meanMicroseconds: Double? { figure(\.mean) }
  /// Microseconds, nil where there are none.
  var shortestMicroseconds: Double? { figure { Double($0.min) } }
  /// Microseconds, nil where there are none.
  var longestMicroseconds: Double? { figure { Double($0.maxRecorded) } }

  /// How many lie in each of the ranges between neighbouring bounds, the upper one not included.
  func counts(betweenMicroseconds bounds: [Double]) -> [UInt64] {
    var counts = [UInt64](repeating: 0, count: max(0, bounds.count - 1))
    var place = 0
    for value in histogram.recordedValues() {
      let microseconds = Double(value.value) / 1_000
      while place + 1 < counts.count, microseconds >= bounds[place + 1] { place += 1 }
      if !counts.isEmpty { counts[place] += value.count }
    }
    return counts
  }

  private func figure(_ nanoseconds: (Histogram<UInt64>) -> Double) -> Double? {
    count == 0 ? nil : nanoseconds(histogram) / 1_000
  }
}
