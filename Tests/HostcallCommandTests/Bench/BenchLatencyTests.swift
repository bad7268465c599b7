import HostcallFunctions
import Testing

@testable import hostcall

/// What latencies come to, and how they are shown.
@Suite("Latencies of bench")
struct BenchLatencyTests {
  private func record(_ durations: [Duration]) -> LatencyRecord {
    var record = LatencyRecord()
    for duration in durations { record.record(duration) }
    return record
  }

  @Test func percentilesAreThoseOfWhatWasRecorded() throws {
    let record = record((1...1_000).map { .microseconds($0) })
    #expect(record.count == 1_000)
    for (percentile, expected) in [(50.0, 500.0), (90, 900), (99, 990), (99.9, 999)] {
      let found = try #require(record.microseconds(atPercentile: percentile))
      // Three significant digits.
      #expect(abs(found - expected) <= expected / 1_000, "p\(percentile) is \(found)")
    }
    #expect(abs(try #require(record.meanMicroseconds) - 500.5) < 1)
    #expect(record.shortestMicroseconds == 1)
    #expect(record.longestMicroseconds == 1_000)
  }

  @Test func nothingHasNoPercentiles() {
    let record = LatencyRecord()
    #expect(record.microseconds(atPercentile: 50) == nil)
    #expect(record.meanMicroseconds == nil)
    #expect(record.shortestMicroseconds == nil)
    #expect(record.longestMicroseconds == nil)
    #expect(LatencyPlot.text(record, width: 80) == "")
  }

  @Test func whatIsOutsideCountsAsTheNearestThatIsInside() throws {
    let record = record([.seconds(-1), .zero, .seconds(100_000)])
    #expect(record.count == 3)
    #expect(record.shortestMicroseconds == 0.001)
    #expect(try #require(record.longestMicroseconds) == 3_600_000_000)
  }

  @Test func everyLatencyIsInOneRangeOfThePlot() {
    let record = record([.microseconds(120), .microseconds(130), .microseconds(199), .microseconds(410)])
    #expect(
      LatencyPlot.text(record, width: 50) == """
        LATENCY          CALLS
        120 µs – 150 µs      2  ██████████████████████████
        150 µs – 200 µs      1  █████████████
        200 µs – 250 µs      0
        250 µs – 300 µs      0
        300 µs – 400 µs      0
        400 µs – 500 µs      1  █████████████

        """)
  }

  @Test(arguments: [40, 80, 200])
  func noLineIsWiderThanTheTerminal(_ width: Int) {
    var durations: [Duration] = (1...5_000).map { .microseconds($0 * 7) }
    for wide in [Duration.nanoseconds(3), .seconds(3_000)] {
      durations.append(wide)
      let lines = LatencyPlot.text(record(durations), width: width).split(separator: "\n")
      #expect(lines.count <= LatencyPlot.mostRows + 1)
      for line in lines { #expect(line.count <= width, "\(line)") }
    }
  }

  @Test func boundsAreRoundAndHoldAllThatIsBetween() {
    func bounds(_ shortest: Double, _ slow: Double, _ longest: Double) -> [Double] {
      LatencyPlot.bounds(fromMicroseconds: shortest, to: slow, longest: longest)
    }
    #expect(bounds(0.5, 3.2, 3.2) == [0, 1, 2, 3, 4])
    #expect(bounds(20, 20, 20) == [20, 25])
    #expect(bounds(90, 99, 99) == [80, 100])
    #expect(bounds(90, 99, 100) == [80, 100, 120])
    #expect(bounds(90, 99, 4_321) == [80, 100, 5_000])
    let wide = bounds(0.001, 3.6e9, 3.6e9)
    #expect(wide.first == 0)
    #expect(wide.last.map { $0 > 3.6e9 } == true)
  }

  @Test func theSlowestInAThousandShareARange() {
    var durations = [Duration](repeating: .microseconds(35), count: 2_000)
    durations[0] = .milliseconds(9)
    #expect(
      LatencyPlot.text(record(durations), width: 40) == """
        LATENCY        CALLS
        30 µs – 40 µs   1999  ██████████████████
        40 µs – 10 ms      1  ▏

        """)
  }

  @Test func littleIsSeenAndAllIsFull() {
    #expect(LatencyPlot.bar(0, width: 10) == "")
    #expect(LatencyPlot.bar(0.000_1, width: 10) == "▏")
    #expect(LatencyPlot.bar(0.55, width: 10) == "█████▌")
    #expect(LatencyPlot.bar(1, width: 3) == "███")
  }

  @Test func aBareSocketIsMeasured() async throws {
    let record = try await RawPingPong.measure(exchanges: 50, sizeBytes: 100_000)
    #expect((1...50).contains(record.count))
    #expect(try await RawPingPong.measure(exchanges: 1, sizeBytes: 0).count == 1)
  }
}
