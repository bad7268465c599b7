import HostcallWire
import Testing

@testable import HostcallBridge

/// Calls that wait for a worker which is started for them.
@Suite struct OnDemandTests {
  private let harness = BridgeHarness()

  init() {
    harness.bridge.setOnDemand([
      OnDemandWorker("one", functions: ["a", "b.*"], launch: .unit("one")),
      OnDemandWorker("two", functions: ["b.c.*"], launch: .unit("two")),
    ])
  }

  private func wanted() -> [Int] { harness.bridge.takeWanted() }
  private func isServed(_ worker: Int) -> Bool { harness.bridge.isServed(worker) }
  private func isWanted(_ worker: Int) -> Bool { harness.bridge.isWanted(worker) }

  @Test func aCallWaitsAndWantsTheWorkerOfItsName() throws {
    let caller = harness.connect()
    caller.call("a", request: 1)
    caller.call("b.x", request: 2)
    #expect(wanted() == [0] && wanted().isEmpty)
    caller.call("b.c.d", request: 3)
    #expect(wanted() == [1] && isWanted(0) && isWanted(1) && !isServed(0))
    caller.expectNothing()
    caller.call("c", request: 4)
    try caller.expectResult(.notFound, request: 4)
    let worker = harness.connect()
    try worker.register("a")
    #expect(try worker.next(.invoke).payload.isEmpty && isServed(0) && isWanted(0))
    // A pattern that somebody has registered serves its names, whatever worker they could have.
    try worker.register("b.*")
    _ = try worker.next(.invoke)
    _ = try worker.next(.invoke)
    #expect(!isWanted(0) && !isWanted(1) && wanted().isEmpty)
  }

  @Test func byAHandleToo() throws {
    let caller = harness.connect()
    caller.send(FrameHeader(kind: .bind, id: 1), name: "a")
    let handle = try caller.next(.result).header.aux
    caller.send(FrameHeader(kind: .call, id: 2, function: handle))
    caller.expectNothing()
    #expect(wanted() == [0])
  }

  @Test func theDeadlineHoldsWhileItWaits() throws {
    let caller = harness.connect()
    caller.call("a", request: 1, timeout: 50)
    harness.advance(milliseconds: 50)
    try caller.expectResult(.timeout, request: 1)
    #expect(!isWanted(0))
  }

  @Test func callsThatWaitedForAPlaceWaitForTheNextWorker() throws {
    let caller = harness.connect()
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    caller.call("a", request: 3, flags: .idempotent)
    _ = try worker.next(.invoke)
    #expect(wanted().isEmpty)
    worker.gone()
    try caller.expectResult(.workerLost, request: 1)
    caller.expectNothing()
    #expect(wanted() == [0] && isWanted(0))
    let next = harness.connect()
    try next.register("a", concurrency: 2)
    _ = try next.next(.invoke)
    _ = try next.next(.invoke)
  }

  @Test func givenUpIsUnavailableForAllButThoseWhoSaidWait() throws {
    let caller = harness.connect()
    caller.call("a", request: 1)
    caller.call("a", request: 2, flags: .wait)
    caller.call("b.c.d", request: 3)
    harness.fact { $0.giveUp(0, now: harness.now, into: &$1) }
    try caller.expectResult(.unavailable, request: 1, containing: "a: its worker was started several times")
    caller.call("a", request: 4)
    try caller.expectResult(.unavailable, request: 4, containing: "a: its worker was started several times")
    caller.call("b.x", request: 5)
    try caller.expectResult(.unavailable, request: 5)
    caller.expectNothing()
    harness.bridge.resume(0)
    caller.call("a", request: 6)
    caller.expectNothing()
    // Somebody else's is as good.
    let worker = harness.connect()
    try worker.register("a")
    for _ in 1...2 { worker.complete(try worker.next(.invoke).id) }
    #expect(caller.takeAll().map(\.id) == [2, 6])
  }

  @Test func whatIsWaitedForIsWantedAfterAHandoverToo() throws {
    let caller = harness.connect()
    caller.call("a", request: 1)
    try harness.handOver()
    #expect(wanted().isEmpty)
    harness.bridge.setOnDemand([OnDemandWorker("one", functions: ["a"], launch: .unit("one"))])
    #expect(wanted() == [0])
  }

  @Test func limitsOfQueuesHold() throws {
    let harness = BridgeHarness { $0.queuedCallsPerFunction = 1 }
    harness.bridge.setOnDemand([OnDemandWorker("one", functions: ["a"], launch: .unit("one"))])
    let caller = harness.connect()
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    try caller.expectResult(.overloaded, request: 2)
  }
}
