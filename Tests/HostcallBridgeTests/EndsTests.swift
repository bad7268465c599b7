import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Ends that nobody asked for*, but for what is sent again and the daemon's own end.
@Suite struct EndsTests {
  private let harness = BridgeHarness()

  @Test func aDeadlineWhileRunning() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1, timeout: 100)
    let invoke = try worker.next(.invoke)
    #expect((5_001...5_100).contains(harness.bridge.nextWakeMilliseconds() ?? 0))
    harness.pass(nanoseconds: 99_999_999)
    harness.hitTime()
    caller.expectNothing()
    harness.pass(nanoseconds: 1)
    harness.hitTime()
    let result = try caller.expectResult(.timeout, request: 1, containing: "100 ms")
    #expect(result.header.call == invoke.id && result.flags.isEmpty)
    let cancel = try worker.next(.cancel)
    #expect(cancel.id == invoke.id && cancel.status == .timeout)
    #expect(harness.bridge.nextWakeMilliseconds() == nil)
  }

  @Test func aDeadlineNeverComesEarlyWhereTimeIsNoWholeMillisecond() throws {
    let caller = harness.connect()
    harness.pass(nanoseconds: 1)
    caller.call("a", request: 1, flags: .wait, timeout: 1)
    harness.pass(nanoseconds: 1_000_000)
    harness.hitTime()
    caller.expectNothing()
    harness.pass(nanoseconds: 999_999)
    harness.hitTime()
    try caller.expectResult(.timeout, request: 1)
  }

  @Test func aDeadlineWhileQueued() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1, timeout: 500)
    caller.call("a", request: 2, timeout: 100)
    let invoke = try worker.next(.invoke)
    harness.advance(milliseconds: 100)
    let result = try caller.expectResult(.timeout, request: 2)
    #expect(result.header.call != 0 && result.header.call != invoke.id)
    worker.expectNothing()
    worker.complete(invoke.id)
    worker.expectNothing()
  }

  @Test func aRegistrationsOwnTimeoutCountsFromTheInvoke() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1, timeout: 50)
    caller.call("a", request: 1, timeout: 1_000)
    caller.call("a", request: 2, timeout: 1_000)
    let first = try worker.next(.invoke)
    #expect(first.header.timeoutMilliseconds == 50)
    harness.advance(milliseconds: 30)
    worker.complete(first.id)
    try caller.expectResult(.ok, request: 1)
    #expect(try worker.next(.invoke).header.timeoutMilliseconds == 50)
    harness.advance(milliseconds: 49)
    caller.expectNothing()
    harness.advance(milliseconds: 1)
    try caller.expectResult(.timeout, request: 2, containing: "50 ms that its worker lets it run")
    #expect(try worker.next(.cancel).status == .timeout)
  }

  @Test func aRegistrationsTimeoutDoesNotBindTheNextWorker() throws {
    let quick = harness.connect()
    let caller = harness.connect()
    try quick.register("a", timeout: 50)
    caller.call("a", request: 1, flags: .idempotent, timeout: 1_000)
    harness.advance(milliseconds: 10)
    let slow = harness.connect()
    try slow.register("a")
    quick.gone()
    #expect(try slow.next(.invoke).header.timeoutMilliseconds == 990)
    harness.advance(milliseconds: 989)
    caller.expectNothing()
    harness.advance(milliseconds: 1)
    try caller.expectResult(.timeout, request: 1, containing: "1000 ms")
  }

  @Test func cancelWhileRunning() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    let invoke = try worker.next(.invoke)
    caller.cancel(1)
    let result = try caller.expectResult(.cancelled, request: 1)
    #expect(result.header.call == invoke.id && result.flags.isEmpty)
    let cancel = try worker.next(.cancel)
    #expect(cancel.id == invoke.id && cancel.status == .cancelled)
    caller.cancel(1)
    caller.expectNothing()
    worker.expectNothing()
    #expect(harness.bridge.nextWakeMilliseconds() == nil)
  }

  @Test func cancelCrossesTheResult() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    let other = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    other.call("a", request: 1)
    worker.complete(try worker.next(.invoke).id)
    _ = try worker.next(.invoke)
    caller.cancel(1)
    try caller.expectResult(.ok, request: 1)
    caller.cancel(77)
    caller.expectNothing()
    worker.expectNothing()
    other.expectNothing()
  }

  @Test func aLostCallersCallsAreCancelled() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    let other = harness.connect()
    try worker.register("a", concurrency: 3)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    other.call("a", request: 1)
    caller.call("a", request: 3)
    other.call("a", request: 2, [2])
    let invokes = [try worker.next(.invoke), try worker.next(.invoke), try worker.next(.invoke)]
    caller.gone()
    let cancels = [try worker.next(.cancel), try worker.next(.cancel)]
    #expect(cancels.map(\.id) == [invokes[0].id, invokes[1].id])
    #expect(cancels.allSatisfy { $0.status == .callerLost })
    other.expectNothing()
    worker.complete(invokes[0].id, .cancelled)
    #expect(try worker.next(.invoke).payload == [2])
    worker.complete(invokes[2].id)
    try other.expectResult(.ok, request: 1)
  }

  @Test func callsThatNobodyWaitsForGoOnWithoutTheirCaller() throws {
    let worker = harness.connect()
    let caller = harness.connect(userID: 77)
    try worker.register("a", concurrency: 1, ["caller": "true"])
    caller.call("a", request: 1, flags: .noReply)
    caller.call("a", request: 2, flags: .noReply)
    let first = try worker.next(.invoke)
    caller.gone()
    worker.expectNothing()
    worker.complete(first.id)
    // The queued one still says who made it.
    let second = try worker.next(.invoke)
    #expect(second.metadata["hostcall-caller-uid"] == "77")
    worker.complete(second.id)
    worker.complete(second.id)
    try worker.expectRejected(.duplicate, second.id)
    worker.gone()
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func aLostWorkersCallsAreLost() throws {
    let worker = harness.connect()
    let other = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    let invoke = try worker.next(.invoke)
    try other.register("a")
    worker.gone()
    let result = try caller.expectResult(.workerLost, request: 1, containing: "a: ")
    #expect(result.header.call == invoke.id && result.flags.isEmpty)
    other.expectNothing()
    other.complete(invoke.id)
    try other.expectRejected(.unknownCall, invoke.id)
  }

  @Test func aLostWorkerTakesItsAbandonedCallsWithIt() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", ["idempotent": "true"])
    caller.call("a", request: 1)
    caller.cancel(1)
    try caller.expectResult(.cancelled, request: 1)
    try harness.connect().register("a")
    worker.gone(sentBytes: 0)
    caller.expectNothing()
    #expect(harness.bridge.callReports(now: harness.now).isEmpty)
  }

  @Test func theLastWorkerOfTheNameGoes() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    caller.call("a", request: 3, flags: .wait)
    worker.gone()
    try caller.expectResult(.workerLost, request: 1)
    let result = try caller.expectResult(.notFound, request: 2, containing: "a: ")
    #expect(result.header.call != 0)
    caller.expectNothing()
    let next = harness.connect()
    try next.register("a")
    next.complete(try next.next(.invoke).id)
    try caller.expectResult(.ok, request: 3)
  }

  @Test func aWorkerThatBrokeTheProtocolGetsNothingMore() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    _ = try worker.next(.invoke)
    worker.hello()
    try worker.expectGoaway()
    caller.call("a", request: 2)
    caller.cancel(1)
    worker.expectNothing()
    worker.gone()
    try caller.expectResult(.cancelled, request: 1)
    try caller.expectResult(.notFound, request: 2)
  }
}
