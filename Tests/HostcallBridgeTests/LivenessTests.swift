import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Liveness and leaving*: peers that say nothing, and workers that never complete.
@Suite struct LivenessTests {
  private let harness = BridgeHarness { $0.livenessMilliseconds = 1_000 }

  /// A worker that runs a call of a caller; what says HELLO and so on is past.
  private func start() throws -> (worker: HarnessPeer, caller: HarnessPeer) {
    let (worker, caller) = (harness.connect(), harness.connect())
    try worker.register("a")
    caller.call("a", request: 1, timeout: 60_000)
    _ = try worker.next(.invoke)
    return (worker, caller)
  }

  private func hear(_ peer: HarnessPeer) {
    harness.bridge.peerIsHeard(peer.id, now: harness.now)
  }

  @Test func aSilentPeerWithWorkIsPingedAndThenGone() throws {
    let (worker, caller) = try start()
    harness.advance(milliseconds: 499)
    worker.expectNothing()
    harness.advance(milliseconds: 251)
    #expect(try worker.next(.ping).kind == .ping)
    #expect(try caller.next(.ping).kind == .ping)
    hear(caller)
    harness.advance(milliseconds: 250)
    try worker.expectGoaway(.timeout, containing: "nothing was heard for 1000 ms")
    #expect(harness.notices.last?.limit == "liveness-milliseconds")
    worker.gone()
    try caller.expectResult(.workerLost, request: 1)
  }

  @Test func whoAnswersStays() throws {
    let (worker, caller) = try start()
    for _ in 1...40 {
      harness.advance(milliseconds: 250)
      for peer in [worker, caller] where peer.take()?.kind == .ping { hear(peer) }
    }
    #expect(!worker.isClosed && !caller.isClosed)
  }

  @Test func whoReadsIsAlive() throws {
    let (worker, caller) = try start()
    for round in 1...20 {
      harness.advance(milliseconds: 250)
      hear(caller)
      // It says nothing, but bytes leave.
      worker.ping(UInt64(round))
      harness.hasTaken(worker, allBut: 0)
      _ = worker.takeAll()
    }
    #expect(!worker.isClosed)
  }

  @Test func withoutCallsNoClockRuns() throws {
    let (worker, caller) = (harness.connect(), harness.connect())
    try worker.register("a")
    #expect(harness.bridge.nextWakeMilliseconds() == nil)
    harness.advance(milliseconds: 60_000)
    worker.expectNothing()
    caller.call("a", request: 1)
    worker.complete(try worker.next(.invoke).id)
    try caller.expectResult(.ok, request: 1)
    // Who was silent without calls is not blamed for that time.
    harness.advance(milliseconds: 10_000)
    #expect(harness.bridge.nextWakeMilliseconds() == nil)
    #expect(!worker.isClosed && !caller.isClosed)
  }

  @Test func whoWasSilentWithoutCallsGetsItsTime() throws {
    let (worker, caller) = (harness.connect(), harness.connect())
    try worker.register("a")
    harness.advance(milliseconds: 60_000)
    hear(caller)
    caller.call("a", request: 1, timeout: 60_000)
    _ = try worker.next(.invoke)
    harness.advance(milliseconds: 250)
    // It has to be asked, and be given as long to answer as anybody, before it is given up.
    #expect(try worker.next(.ping).kind == .ping)
    hear(caller)
    harness.advance(milliseconds: 499)
    #expect(!worker.isClosed)
    harness.advance(milliseconds: 1)
    try worker.expectGoaway(.timeout)
  }

  @Test func aStuckWorkerIsSeenAndItsPlaceIsFreeAgain() throws {
    let harness = BridgeHarness { $0.abandonedMilliseconds = 2_000 }
    let (worker, caller) = (harness.connect(), harness.connect())
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1, timeout: 100)
    let stuck = try worker.next(.invoke).id
    harness.advance(milliseconds: 101)
    try caller.expectResult(.timeout, request: 1)
    _ = try worker.next(.cancel)
    let report = harness.bridge.peerReports(now: harness.now).first { $0.functions == 1 }
    #expect(report?.running == 1 && report?.abandoned == 1)
    caller.call("a", request: 2, timeout: 10_000)
    worker.expectNothing()
    harness.advance(milliseconds: 1_998)
    worker.expectNothing()
    harness.advance(milliseconds: 1)
    let next = try worker.next(.invoke).id
    #expect(harness.notices.last?.limit == "abandoned-milliseconds")
    // What it says of the old call is late, and reaches nobody.
    worker.complete(stuck, .ok, [1])
    try worker.expectRejected(.late, stuck)
    caller.expectNothing()
    worker.complete(next)
    try caller.expectResult(.ok, request: 2)
  }

  @Test func aWorkerThatAnswersTheCancelInTimeIsNotStuck() throws {
    let harness = BridgeHarness { $0.abandonedMilliseconds = 2_000 }
    let (worker, caller) = (harness.connect(), harness.connect())
    try worker.register("a")
    caller.call("a", request: 1)
    let call = try worker.next(.invoke).id
    caller.cancel(1)
    _ = try worker.next(.cancel)
    worker.complete(call, .cancelled)
    #expect(harness.bridge.nextWakeMilliseconds() == nil)
    harness.advance(milliseconds: 5_000)
    #expect(harness.notices.isEmpty)
  }
}
