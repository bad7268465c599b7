import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Completing*.
@Suite struct CompletingTests {
  private let harness = BridgeHarness()

  @Test func completionsMayComeInAnyOrder() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    for request in 1...4 as ClosedRange<UInt64> { caller.call("a", request: request, [UInt8(request)]) }
    let invokes = worker.takeAll()
    for invoke in [invokes[2], invokes[0], invokes[3], invokes[1]] {
      worker.complete(invoke.id, .ok, invoke.payload)
      let result = try caller.next(.result)
      #expect(result.payload == [UInt8(result.id)] && result.payload == invoke.payload)
    }
  }

  @Test(arguments: [0, 1, 5, 8, 9, 10, 11, 99, 128, 255] as [UInt8])
  func aWorkerMayUse(status: UInt8) throws {
    let worker = harness.connect()
    try worker.register("a")
    worker.call("a", request: 1)
    worker.complete(try worker.next(.invoke).id, Status(rawValue: status), [6])
    let result = try worker.expectResult(Status(rawValue: status), request: 1)
    #expect(result.flags == .fromWorker && result.payload == [6])
  }

  @Test(arguments: [12, 13, 14, 16, 17, 19, 23, 25, 26, 98, 100, 127] as [UInt8])
  func aWorkerMayNotUse(status: UInt8) throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    worker.complete(try worker.next(.invoke).id, Status(rawValue: status))
    try worker.expectGoaway(containing: "status")
    worker.gone()
    try caller.expectResult(.workerLost, request: 1)
  }

  @Test func aSecondCompletionIsADuplicateAndChangesNothing() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    caller.call("a", request: 3)
    let invoke = try worker.next(.invoke)
    worker.complete(invoke.id)
    _ = try worker.next(.invoke)
    try caller.expectResult(.ok, request: 1)
    for status in [Status.ok, .cancelled, .failed] {
      worker.complete(invoke.id, status)
      try worker.expectRejected(.duplicate, invoke.id)
    }
    worker.expectNothing()
    caller.expectNothing()
  }

  @Test func aCallOfAnotherWorkerIsUnknownAndGoesOn() throws {
    let worker = harness.connect()
    let other = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    try other.register("a")
    caller.call("a", request: 1)
    let invoke = try worker.next(.invoke)
    other.complete(invoke.id)
    try other.expectRejected(.unknownCall, invoke.id)
    caller.complete(invoke.id)
    try caller.expectRejected(.unknownCall, invoke.id)
    worker.complete(invoke.id, .ok, [1])
    #expect(try caller.expectResult(.ok, request: 1).payload == [1])
    other.complete(invoke.id)
    try other.expectRejected(.unknownCall, invoke.id)
  }

  @Test func anIDThatWasNeverIssuedIsUnknown() throws {
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    worker.call("a", request: 1)
    worker.call("a", request: 2)
    let invoke = try worker.next(.invoke)
    let wrong: [UInt64] = [1, invoke.id + 1, invoke.id + 2, invoke.id ^ 1 << 63, invoke.id + 1 << 20, .max]
    for id in wrong {
      worker.complete(id)
      try worker.expectRejected(.unknownCall, id)
    }
    worker.complete(invoke.id)
    try worker.expectResult(.ok, request: 1)
  }

  /// The ends that make a completion late: deadline, cancel, loss of the caller, and each with CANCELLED as its answer.
  @Test(arguments: 0..<3, [Status.ok, .cancelled])
  func aLateCompletion(end: Int, status: Status) throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1, timeout: 20)
    let next = harness.connect()
    next.call("a", request: 1, [2])
    let invoke = try worker.next(.invoke)
    switch end {
    case 0: harness.advance(milliseconds: 20)
    case 1: caller.cancel(1)
    default: caller.gone()
    }
    let cancel = try worker.next(.cancel)
    #expect(cancel.id == invoke.id && cancel.status == [.timeout, .cancelled, .callerLost][end])
    worker.expectNothing()
    worker.complete(invoke.id, status)
    if status != .cancelled { try worker.expectRejected(.late, invoke.id) }
    #expect(try worker.next(.invoke).payload == [2])
    worker.expectNothing()
    worker.complete(invoke.id, status)
    try worker.expectRejected(.duplicate, invoke.id)
  }

  @Test func cancelledWithoutACancelIsAnOrdinaryStatus() throws {
    let worker = harness.connect()
    try worker.register("a")
    worker.call("a", request: 1)
    let invoke = try worker.next(.invoke)
    worker.complete(invoke.id, .cancelled)
    #expect(try worker.expectResult(.cancelled, request: 1).flags == .fromWorker)
  }

  @Test(arguments: [1_024, 1_500])
  func theLastOutcomesAreRemembered(remembered: Int) throws {
    let harness = BridgeHarness { $0.rememberedOutcomes = remembered }
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    let first = try worker.next(.invoke)
    worker.complete(first.id)
    for request in 2..<UInt64(remembered + 1) {
      caller.call("a", request: request)
      worker.complete(try worker.next(.invoke).id)
    }
    worker.complete(first.id)
    try worker.expectRejected(.duplicate, first.id)
    for request in 1...2 as ClosedRange<UInt64> {
      caller.call("a", request: request)
      worker.complete(try worker.next(.invoke).id)
    }
    worker.complete(first.id)
    try worker.expectRejected(.unknownCall, first.id)
  }
}
