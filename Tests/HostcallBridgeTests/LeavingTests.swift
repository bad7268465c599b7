import HostcallWire
import Testing

@testable import HostcallBridge

/// GOAWAY both ways (protocol section 4, *Liveness and leaving*, and the last line of *Ends that nobody asked for*).
@Suite struct LeavingTests {
  private let harness = BridgeHarness()

  // MARK: A peer leaves

  @Test func aLeavingWorkerFinishesWhatItHas() throws {
    let worker = harness.connect()
    let other = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    try worker.register("b")
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    caller.call("a", request: 3, flags: .wait)
    let invoke = try worker.next(.invoke)
    worker.goaway()
    worker.goaway()
    try caller.expectResult(.notFound, request: 2)
    caller.call("b", request: 4)
    try caller.expectResult(.notFound, request: 4)
    worker.expectNothing()
    try other.register("a")
    #expect(try other.next(.invoke).id != invoke.id)
    worker.complete(invoke.id, .ok, [1])
    #expect(try caller.expectResult(.ok, request: 1).payload == [1])
    worker.expectNothing()
    #expect(!worker.isClosed)
    worker.gone()
    caller.expectNothing()
  }

  @Test func aLeavingPeerStillGetsItsResultsAndRegistersNothing() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    caller.goaway()
    caller.sendRegister("b", request: 2)
    try caller.expectResult(.shuttingDown, request: 2)
    caller.ping(3)
    _ = try caller.next(.pong)
    worker.complete(try worker.next(.invoke).id)
    try caller.expectResult(.ok, request: 1)
    #expect(harness.bridge.peerReports(now: harness.now).map(\.state) == ["open", "leaving"])
  }

  @Test func theNameOfALeavingExclusiveOwnerIsFree() throws {
    let worker = harness.connect()
    try worker.register("a", ["mode": "exclusive"])
    worker.call("a", request: 1)
    worker.goaway()
    try harness.connect().register("a", ["mode": "exclusive"])
  }

  // MARK: The daemon leaves

  @Test func aStoppingDaemonRefusesNewCallsAndLetsTheOthersEnd() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    let handle = try caller.bind("a")
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    let first = try worker.next(.invoke)
    harness.stop(graceMilliseconds: 700)
    for peer in [worker, caller] {
      let goaway = try peer.next(.goaway)
      #expect(goaway.status == .shuttingDown && goaway.header.timeoutMilliseconds == 700 && !goaway.payload.isEmpty)
    }
    harness.stop(graceMilliseconds: 1)
    caller.call("a", request: 3)
    try caller.expectResult(.shuttingDown, request: 3, containing: "a: ")
    caller.call(handle: handle, request: 4)
    try caller.expectResult(.shuttingDown, request: 4, containing: "a: ")
    caller.call("a", request: 5, flags: .noReply)
    caller.sendRegister("b", request: 6)
    try caller.expectResult(.shuttingDown, request: 6)
    #expect(harness.connectWithoutHello() == nil && !harness.isDrained)
    worker.complete(first.id)
    try caller.expectResult(.ok, request: 1)
    #expect(!harness.isDrained)
    worker.complete(try worker.next(.invoke).id)
    try caller.expectResult(.ok, request: 2)
    #expect(harness.isDrained && harness.bridge.nextWakeMilliseconds() == nil)
    worker.expectNothing()
  }

  @Test func theGraceEnds() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    caller.call("b", request: 3, flags: .wait)
    let invoke = try worker.next(.invoke)
    harness.stop(graceMilliseconds: 700)
    #expect(harness.bridge.nextWakeMilliseconds() == 5_700)
    harness.advance(milliseconds: 699)
    #expect(caller.takeAll().count == 1 && worker.takeAll().count == 1)
    harness.advance(milliseconds: 1)
    let results = try (0..<3).map { _ in try caller.next(.result) }
    #expect(Set(results.map(\.id)) == [1, 2, 3])
    #expect(results.allSatisfy { $0.status == .shuttingDown && $0.header.call != 0 && !$0.payload.isEmpty })
    let cancel = try worker.next(.cancel)
    #expect(cancel.id == invoke.id && cancel.status == .shuttingDown)
    #expect(harness.isDrained)
    worker.complete(invoke.id)
    try worker.expectRejected(.late, invoke.id)
    worker.expectNothing()
  }

  @Test func withoutCallsItIsDrainedAtOnce() throws {
    let peer = harness.connect()
    harness.stop(graceMilliseconds: 700)
    #expect(harness.isDrained)
    _ = try peer.next(.goaway)
    #expect(!peer.isClosed)
    peer.gone()
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func aLostCallerEndsTheDrainToo() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    harness.stop(graceMilliseconds: 700)
    caller.gone()
    #expect(harness.isDrained)
    harness.advance(milliseconds: 1_000)
    worker.gone()
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func theEmbeddingProgramIsToldNothing() throws {
    let local = try #require(harness.connectWithoutHello(isLocal: true))
    harness.stop(graceMilliseconds: 10)
    local.expectNothing()
  }
}
