import HostcallFunctions
import Testing

@testable import hostcall

/// What a run comes to, for people and for scripts.
@Suite("Reports of bench")
struct BenchReportTests {
  private let timeout = HostcallError(
    .status(.timeout), origin: .daemon, function: "slow", message: "no outcome within 250 ms")
  private let failure = HostcallError(.status(.failed), origin: .worker, function: "slow", message: "no")

  private func plan(_ load: BenchPlan.Load, calls: Int? = nil, seconds: Double? = nil) -> BenchPlan {
    BenchPlan(
      load: load, connections: 2, calls: calls, seconds: seconds, sizeBytes: 64, timeout: nil, warmUpCalls: 10)
  }

  private func report(
    _ tally: BenchTally, _ load: BenchPlan.Load, unsent: Int = 0, ownEcho: Bool = true, interrupted: Bool = false
  ) -> BenchReport {
    BenchReport(
      tally, unsent: unsent, parameters: .init(plan(load, calls: 4), function: "slow", ownEcho: ownEcho),
      server: "hostcalld/1", interrupted: interrupted, raw: nil)
  }

  /// A call due and sent at those milliseconds, which ends at others.
  private func record(_ tally: inout BenchTally, _ outcome: BenchOutcome, due: Int, sent: Int, ended: Int) {
    tally.record(outcome, due: .milliseconds(due), sent: .milliseconds(sent), ended: .milliseconds(ended))
  }

  @Test func latencyCountsFromWhenACallWasDue() throws {
    var tally = BenchTally()
    record(&tally, .answered, due: 0, sent: 1_000, ended: 1_001)
    let report = report(tally, .open(callsPerSecond: 10))
    #expect(abs(try #require(report.latencyMicroseconds.p50) - 1_001_000) < 1_001)
    #expect(abs(try #require(report.latenessMicroseconds?.p50) - 1_000_000) < 1_000)
  }

  @Test func failuresAreCountedByStatusAndAreNotInTheLatencies() {
    var tally = BenchTally()
    record(&tally, .answered, due: 0, sent: 0, ended: 2)
    record(&tally, .failed(timeout), due: 0, sent: 0, ended: 250)
    record(&tally, .failed(failure), due: 0, sent: 0, ended: 500)
    record(&tally, .failed(timeout), due: 0, sent: 0, ended: 400)
    record(&tally, .wrongAnswer, due: 0, sent: 0, ended: 3)
    record(&tally, .unfinished, due: 0, sent: 0, ended: 9_000)
    let report = report(tally, .closed(depth: 3))
    #expect(report.calls == 5)
    #expect(report.succeeded == 1)
    #expect(report.failed == 4)
    #expect(report.failures == ["TIMEOUT": 2, "FAILED": 1])
    #expect(report.wrongAnswers == 1)
    #expect(report.unfinished == 1)
    #expect(report.seconds == 0.5)
    #expect(report.callsPerSecond == 2)
    #expect(report.latencyMicroseconds.maximum.map { $0 < 2_100 } == true)
    let text = BenchText.text(report, tally.latencies, socketPath: "/s", width: 80)
    #expect(text.hasPrefix("slow, an echo of this command's own, at /s\nclosed loop: 3 calls in flight on each of 2 "))
    #expect(text.contains("\nFAILURE        CALLS\nTIMEOUT            2\nFAILED             1\nwrong answers      1\n"))
    #expect(text.contains("CALLS  SECONDS  CALLS/S  FAILED  UNFINISHED\n    5      0.5        2       4           1\n"))
  }

  @Test func theExitStatusIsThatOfTheFirstFailure() {
    func failure(_ outcomes: [BenchOutcome], signal: Int32? = nil) -> CommandFailure? {
      var tally = BenchTally()
      for outcome in outcomes { record(&tally, outcome, due: 0, sent: 0, ended: 1) }
      return Bench.Result(report: report(tally, .closed(depth: 1)), tally: tally, socketPath: "/s")
        .failure(signal: signal)
    }
    #expect(failure([.answered]) == nil)
    #expect(
      failure([.answered, .failed(timeout), .failed(self.failure)])
        == CommandFailure(
          "2 of 3 calls failed; the first: slow: TIMEOUT from the daemon: no outcome within 250 ms", .timeout))
    #expect(failure([.failed(self.failure)])?.status == .functionFailed)
    #expect(
      failure([.wrongAnswer])
        == CommandFailure("1 of 1 call failed; other bytes came back than were sent", .functionFailed))
    #expect(failure([.answered, .unfinished], signal: 2) == CommandFailure(nil, .signal(2)))
    #expect(failure([.failed(timeout)], signal: 15)?.status == .signal(15))
  }

  @Test func whatWasNotSentIsSaid() {
    var tally = BenchTally()
    record(&tally, .answered, due: 0, sent: 0, ended: 1)
    let report = report(tally, .open(callsPerSecond: 1_000), unsent: 7, ownEcho: false)
    let text = BenchText.text(report, tally.latencies, socketPath: "/s", width: 80)
    #expect(text.hasPrefix("slow, at /s\nopen loop: 1000 calls due each second on 2 connections, 64 B a call\n"))
    #expect(text.contains("  NOT SENT\n"))
    #expect(text.contains("\n7 calls found no room by the end: more are due than are answered\n"))
  }

  @Test func everyKeyIsAlwaysThere() throws {
    func keys(_ report: BenchReport) throws -> [String] {
      try report.json().matches(of: #/"([a-zA-Z0-9]+)":/#).map { String($0.1) }
    }
    let closed = report(BenchTally(), .closed(depth: 1))
    #expect(
      try keys(closed) == [
        "calls", "callsPerSecond", "failed", "failures", "interrupted", "latencyMicroseconds", "maximum", "mean",
        "minimum", "p50", "p90", "p99", "p999", "latenessMicroseconds", "parameters", "calls", "callsPerSecond",
        "connections", "depth", "function", "loop", "ownEcho", "seconds", "sizeBytes", "timeoutMilliseconds",
        "warmUpCalls", "raw", "seconds", "server", "succeeded", "unfinished", "unsent", "wrongAnswers",
      ])
    #expect(try closed.json().contains(#""latenessMicroseconds":null,"#))
  }

  @Test func progressIsTheGreaterShareAndFitsTheLine() {
    let counted = BenchProgress(plan: plan(.closed(depth: 1), calls: 200, seconds: 10))
    #expect(counted.line(ended: 50, elapsed: .seconds(1), width: 50).hasSuffix("▏ 25%  50 calls  1 s"))
    #expect(counted.line(ended: 50, elapsed: .seconds(5), width: 50).hasSuffix("▏ 50%  50 calls  5 s"))
    for width in [0, 1, 5, 20, 30, 31, 32, 80] {
      let line = counted.line(ended: 199, elapsed: .seconds(20), width: width)
      #expect(line.count < max(1, width), "\(line)")
    }
    #expect(counted.line(ended: 100, elapsed: .zero, width: 42) == "▕█████████         ▏ 50%  100 calls  0 µs")
  }
}
