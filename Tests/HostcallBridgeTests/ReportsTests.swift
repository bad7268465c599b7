import HostcallTestSupport
import HostcallWire
import Testing

@testable import HostcallBridge

/// What the built-in functions tell (protocol section 7), as values.
@Suite struct ReportsTests {
  private let harness = BridgeHarness()

  @Test func info() {
    harness.pass(milliseconds: 1_500)
    let report = harness.bridge.infoReport(version: "1.2", processID: 77, now: harness.now)
    #expect(report.server == "hostcalld/test" && report.instance == BridgeHarness.instance && report.version == "1.2")
    #expect(report.processID == 77 && report.uptimeSeconds == 1.5 && report.protocolVersion == 1)
    #expect(report.limits["queued-calls-per-function"] == 1_024 && report.limits.count == Limits.keys.count)
  }

  @Test func functions() throws {
    let worker = harness.connect()
    let other = harness.connect()
    let caller = harness.connect()
    try worker.register("b", concurrency: 1)
    try other.register("b", concurrency: 2)
    try worker.register("a.*", concurrency: 5)
    _ = try caller.bind("only-bound")
    for request in 1...5 as ClosedRange<UInt64> { caller.call("b", request: request) }
    caller.call("waiting", request: 6, flags: .wait)
    harness.pass(nanoseconds: 2_000_000)
    worker.complete(try worker.next(.invoke).id, .failed)
    let reports = harness.bridge.functionReports()
    #expect(reports.map(\.name) == ["a.*", "b", "waiting"])
    let report = reports[1]
    #expect(report.workers == 2 && report.concurrency == 3 && report.running == 3 && report.queued == 1)
    #expect(report.calls == 4 && report.failures == 1)
    #expect(report.latency.count == 1 && report.latency.meanMicroseconds == 2_000)
    #expect(report.latency.maximumMicroseconds == 2_000 && (2_000...2_500).contains(report.latency.p50Microseconds))
    #expect(reports[0].concurrency == 5 && reports[0].latency.count == 0)
    #expect(reports[2].workers == 0 && reports[2].queued == 1)
  }

  @Test func aFunctionWhoseWorkerOnlyFinishesIsStillThere() throws {
    let worker = harness.connect()
    let handle = try worker.register("a")
    worker.call("a", request: 1, timeout: 10)
    worker.unregister(handle)
    harness.advance(milliseconds: 10)
    let report = try #require(harness.bridge.functionReports().first)
    #expect(report.workers == 0 && report.running == 1 && report.failures == 1)
  }

  @Test func peers() throws {
    let worker = harness.connect(userID: 5)
    let waiting = try #require(harness.connectWithoutHello())
    try worker.register("a", concurrency: 2)
    try worker.register("b")
    harness.pass(milliseconds: 500)
    let caller = harness.connect()
    for request in 1...4 as ClosedRange<UInt64> { caller.call("a", request: request) }
    caller.cancel(1)
    let reports = harness.bridge.peerReports(now: harness.now)
    #expect(reports.map(\.session) == reports.map(\.session).sorted() && reports.count == 3)
    #expect(reports[0].userID == 5 && reports[0].groupID == 6 && reports[0].processID == 7)
    #expect(reports[0].client == "test/1" && reports[0].connectedSeconds == 0.5 && reports[0].state == "open")
    #expect(reports[0].functions == 2 && reports[0].running == 2 && reports[0].callsInFlight == 0)
    #expect(reports[2].callsInFlight == 3 && reports[2].running == 0 && reports[2].functions == 0)
    waiting.gone()
    #expect(harness.bridge.peerReports(now: harness.now).count == 2)
  }

  @Test func calls() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a.*", concurrency: 2)
    caller.call("a.x", request: 1, timeout: 100)
    caller.call("a.y", request: 2, timeout: 100)
    harness.pass(milliseconds: 30)
    caller.call("a.z", request: 3, timeout: 100)
    caller.cancel(2)
    harness.pass(milliseconds: 20)
    let reports = harness.bridge.callReports(now: harness.now)
    #expect(reports.map(\.function) == ["a.x", "a.y", "a.z"])
    #expect(reports.map(\.state) == ["running", "abandoned", "queued"])
    #expect(reports.map(\.ageMilliseconds) == [50, 50, 20])
    #expect(reports.map(\.leftMilliseconds) == [50, nil, 80])
    #expect(reports.map(\.attempts) == [1, 1, 0])
    let sessions = harness.bridge.peerReports(now: harness.now).map(\.session)
    #expect(reports.map(\.worker) == [sessions[0], sessions[0], nil])
    #expect(reports.map(\.caller) == [sessions[1], sessions[1], sessions[1]])
    #expect(reports.map(\.correlationID).prefix(2) == [try worker.next(.invoke).id, try worker.next(.invoke).id])
    caller.gone()
    #expect(harness.bridge.callReports(now: harness.now).map(\.caller) == [nil, nil])
  }

  @Test func statistics() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 3)
    for request in 1...4 as ClosedRange<UInt64> { caller.call("a", request: request, [1, 2]) }
    caller.call("b", request: 5)
    let invoke = try worker.next(.invoke)
    worker.complete(invoke.id)
    worker.complete(invoke.id)
    worker.complete(try worker.next(.invoke).id, Status(rawValue: 130))
    caller.cancel(3)
    caller.call("c", request: 9, [7], flags: .wait)
    caller.hello()
    let report = harness.bridge.statsReport()
    #expect(report.callsAccepted == 5 && report.callsRefused == 1)
    #expect(report.outcomes == ["OK": 1, "STATUS_130": 1, "CANCELLED": 1])
    #expect(report.callsInFlight == 2 && report.callsQueued == 1 && report.storedPayloadBytes == 1)
    #expect(report.completionsRejected == 1 && report.protocolErrors == 1 && report.callsSentAgain == 0)
    #expect(report.peers == 2 && report.peersConnected == 2 && report.functions == 2)
  }

  @Test func percentilesAreUpperBoundsAndAtMostAQuarterTooHigh() {
    var random = SeededGenerator(seed: 3)
    for size in [1, 2, 10, 1_000] {
      var histogram = LatencyHistogram()
      var all: [UInt64] = []
      for _ in 0..<size {
        let nanoseconds = random.next() >> UInt64(24 + random.below(39))
        all.append(nanoseconds)
        histogram.record(nanoseconds: nanoseconds)
      }
      all.sort()
      let report = histogram.report
      #expect(report.count == UInt64(size) && report.maximumMicroseconds == Double(all[size - 1]) / 1_000)
      for (share, found) in [(0.5, report.p50Microseconds), (0.99, report.p99Microseconds)] {
        let exact = Double(all[Int((Double(size) * share).rounded(.up)) - 1]) / 1_000
        #expect(found >= exact && found <= exact * 1.25 + 0.001, "\(share) of \(size)")
      }
    }
    #expect(LatencyHistogram().report.p99Microseconds == 0)
  }
}
