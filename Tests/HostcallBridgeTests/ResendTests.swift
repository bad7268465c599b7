import HostcallTestSupport
import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Ends that nobody asked for*: what is sent again when a worker's connection ends.
@Suite struct ResendTests {
  private let harness = BridgeHarness()

  @Test(arguments: [FrameFlags.idempotent, []])
  func anIdempotentCallGoesToAnotherWorker(flags: FrameFlags) throws {
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    let options: Metadata = flags.isEmpty ? ["idempotent": "true"] : [:]
    try first.register("a", options)
    try second.register("a", options)
    caller.call("a", request: 1, [1, 2], flags: flags, metadata: ["k": "v"], encoding: .json)
    let invoke = try first.next(.invoke)
    first.gone()
    let again = try second.next(.invoke)
    #expect(again.id == invoke.id && again.payload == [1, 2] && again.metadata == ["k": "v"])
    #expect(again.header.encoding == .json && again.flags == .idempotent)
    second.complete(again.id, .ok, [3])
    #expect(try caller.expectResult(.ok, request: 1).payload == [3])
    #expect(harness.bridge.statsReport().callsSentAgain == 1)
  }

  @Test func aLargeCallIsKeptAndSentAgainWithoutACopy() throws {
    let payload = (0..<500).map { UInt8(truncatingIfNeeded: $0) }
    let caller = harness.connect()
    caller.call("a", request: 1, payload, flags: [.idempotent, .wait], metadata: ["k": "v"])
    let segments = harness.segments.segmentsInUse
    #expect(segments == 11)
    #expect(harness.bridge.statsReport().storedPayloadBytes == 505)
    for _ in 1...2 {
      let worker = harness.connect()
      try worker.register("a")
      let invoke = try worker.next(.invoke)
      #expect(invoke.payload == payload && invoke.metadata == ["k": "v"])
      worker.gone()
      // The same memory all the time.
      #expect(harness.segments.segmentsInUse == segments)
    }
    caller.gone()
    #expect(harness.segments.segmentsInUse == 0)
  }

  @Test func aLargeCallThatHasNotWhollyLeftIsTakenOutOfTheQueueWithoutACopy() throws {
    let payload = (0..<500).map { UInt8(truncatingIfNeeded: $0) }
    let caller = harness.connect()
    let first = harness.connect()
    try first.register("*", ["caller": "true"])
    caller.call("a", request: 1, payload, flags: .wait, metadata: ["k": "v"])
    let invoke = try first.next(.invoke)
    #expect(invoke.name == "a" && invoke.payload == payload && invoke.metadata["k"] == "v")
    let segments = harness.segments.segmentsInUse
    first.gone(sentBytes: first.stream.count - 1)
    #expect(harness.segments.segmentsInUse == segments)
    let second = harness.connect()
    try second.register("a")
    let again = try second.next(.invoke)
    #expect(again.id == invoke.id && again.payload == payload && again.metadata == ["k": "v"])
    second.complete(again.id, .ok, payload)
    #expect(try caller.expectResult(.ok, request: 1).payload == payload)
  }

  @Test func atMostTwiceMore() throws {
    let caller = harness.connect()
    let workers = (0..<4).map { _ in harness.connect() }
    for worker in workers { try worker.register("a") }
    caller.call("a", request: 1, flags: .idempotent)
    for worker in workers[..<3] {
      _ = try worker.next(.invoke)
      worker.gone()
    }
    try caller.expectResult(.workerLost, request: 1)
    workers[3].expectNothing()
    #expect(harness.bridge.statsReport().storedPayloadBytes == 0)
  }

  @Test(arguments: 0...3)
  func asOftenAsTheLimitSays(resends: Int) throws {
    let harness = BridgeHarness { $0.resends = resends }
    let caller = harness.connect()
    caller.call("a", request: 1, flags: [.idempotent, .wait])
    for _ in 0...resends {
      caller.expectNothing()
      let worker = harness.connect()
      try worker.register("a")
      _ = try worker.next(.invoke)
      worker.gone()
    }
    try caller.expectResult(.workerLost, request: 1)
  }

  @Test(arguments: 1...3)
  func aCallThatItsWorkersDieOfIsGivenToNoOther(deaths: Int) throws {
    let harness = BridgeHarness {
      $0.workersLostPerCall = deaths
      $0.resends = 50
    }
    let caller = harness.connect()
    caller.call("a", request: 1, flags: [.idempotent, .wait])
    for death in 1...deaths {
      // One that had not got it all cannot have died of it.
      let innocent = harness.connect()
      try innocent.register("a")
      innocent.gone(sentBytes: innocent.stream.count - 1)
      let worker = harness.connect()
      try worker.register("a")
      _ = try worker.next(.invoke)
      #expect(harness.notices.isEmpty, "\(death)")
      worker.gone()
    }
    try caller.expectResult(.workerLost, request: 1, containing: "it is given to no other (workers-lost-per-call)")
    #expect(harness.notices.map(\.limit) == ["workers-lost-per-call"])
    let next = harness.connect()
    try next.register("a")
    next.expectNothing()
  }

  @Test func withoutAnotherWorkerItIsLostOrWaits() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1, flags: .idempotent)
    caller.call("a", request: 2, [2], flags: [.idempotent, .wait], timeout: 40)
    caller.call("a", request: 3, [3], flags: [.idempotent, .wait])
    worker.gone()
    try caller.expectResult(.workerLost, request: 1)
    caller.expectNothing()
    harness.advance(milliseconds: 40)
    try caller.expectResult(.timeout, request: 2)
    let next = harness.connect()
    try next.register("*")
    let invoke = try next.next(.invoke)
    #expect(invoke.payload == [3] && invoke.name == "a")
  }

  @Test func whatIsSentAgainGoesInFrontOfLaterCalls() throws {
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    try first.register("a", concurrency: 2)
    try second.register("a", concurrency: 1)
    for request in 1...6 as ClosedRange<UInt64> {
      caller.call("a", request: request, [UInt8(request)], flags: .idempotent)
    }
    #expect(first.takeAll().map(\.payload) == [[1], [3]])
    first.gone()
    for request in [2, 1, 3, 4, 5, 6] as [UInt8] {
      let invoke = try second.next(.invoke)
      #expect(invoke.payload == [request])
      second.complete(invoke.id)
    }
  }

  @Test func alsoWhereTheQueueMovesToAPattern() throws {
    let exact = harness.connect()
    let wide = harness.connect()
    let caller = harness.connect()
    try exact.register("a.b", concurrency: 1)
    try wide.register("a.*", concurrency: 1)
    caller.call("a.b", request: 1, [1], flags: .idempotent)
    caller.call("a.b", request: 2, [2])
    _ = try exact.next(.invoke)
    exact.gone()
    let invoke = try wide.next(.invoke)
    #expect(invoke.payload == [1])
    wide.complete(invoke.id)
    #expect(try wide.next(.invoke).payload == [2])
  }

  @Test func itIsNotSentAgainAfterItsDeadline() throws {
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    try first.register("a")
    try second.register("a")
    caller.call("a", request: 1, flags: .idempotent, timeout: 10)
    harness.pass(milliseconds: 10)
    first.gone()
    try caller.expectResult(.timeout, request: 1)
    second.expectNothing()
  }

  // MARK: What had not wholly left

  @Test func anInvokeThatHadNotWhollyLeftIsSentAgain() throws {
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    try first.register("*")
    try second.register("x")
    let before = first.stream.count
    caller.call("a", request: 1, [7, 8, 9], metadata: ["k": "v"])
    let invoke = try first.next(.invoke)
    let after = first.stream.count
    caller.call("b", request: 2)
    _ = try first.next(.invoke)
    #expect(after > before)
    try second.register("*", ["caller": "true"])
    first.gone(sentBytes: after - 1)
    let again = try second.next(.invoke)
    #expect(again.id == invoke.id && again.payload == [7, 8, 9] && again.metadata["k"] == "v" && again.name == "a")
    #expect(again.metadata["hostcall-caller-uid"] == "1000" && again.flags.isEmpty)
    #expect(try second.next(.invoke).name == "b")
    second.complete(again.id)
    try caller.expectResult(.ok, request: 1)
    #expect(harness.bridge.statsReport().storedPayloadBytes == 0)
  }

  @Test func anInvokeThatHadWhollyLeftIsNot() throws {
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    try first.register("a")
    caller.call("a", request: 1, [1])
    let after = first.stream.count
    caller.call("a", request: 2, [2])
    try second.register("a")
    first.gone(sentBytes: after)
    try caller.expectResult(.workerLost, request: 1)
    #expect(try second.next(.invoke).payload == [2])
  }

  @Test func theDaemonsOwnMetadataIsNotSentTwice() throws {
    let caller = harness.connect()
    caller.call("a.b", request: 1, [5], flags: .wait, metadata: ["k": "v"])
    for _ in 0..<3 {
      let worker = harness.connect()
      try worker.register("a.*", ["caller": "true"])
      let invoke = try worker.next(.invoke)
      #expect(invoke.metadata.entries.count == 5 && invoke.payload == [5] && invoke.name == "a.b")
      worker.gone(sentBytes: 0)
    }
    try caller.expectResult(.workerLost, request: 1)
  }

  @Test func aFrameThatTheShellNoLongerHasIsLost() throws {
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    try first.register("a")
    caller.call("a", request: 1)
    try second.register("a")
    harness.fact { bridge, actions in
      bridge.peerIsGone(first.id, sentBytes: 0, now: harness.now, into: &actions) { _, _ in nil }
    }
    try caller.expectResult(.workerLost, request: 1)
  }

  @Test func withoutRoomToKeepItIsLost() throws {
    let harness = BridgeHarness { $0.storedPayloadBytes = 10 }
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    try first.register("a")
    caller.call("a", request: 1, Array(repeating: 1, count: 11))
    caller.call("a", request: 2, Array(repeating: 2, count: 10))
    try second.register("a")
    first.gone(sentBytes: 0)
    try caller.expectResult(.workerLost, request: 1)
    #expect(try second.next(.invoke).payload.count == 10)
  }

  // MARK: Limits of queues

  @Test func whereNothingMayWaitAFreePlaceIsStillTaken() throws {
    let harness = BridgeHarness { $0.queuedCallsPerFunction = 0 }
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    try first.register("a", concurrency: 2)
    caller.call("a", request: 1, [1], flags: .idempotent)
    caller.call("a", request: 2, [2], flags: .idempotent)
    try second.register("a", concurrency: 1)
    first.gone()
    #expect(try second.next(.invoke).payload == [1])
    try caller.expectResult(.workerLost, request: 2)
  }

  @Test func thoseWhoWaitAlreadyDoNotPayForIt() throws {
    let harness = BridgeHarness { $0.queuedCallsPerFunction = 1 }
    let first = harness.connect()
    let second = harness.connect()
    let caller = harness.connect()
    try first.register("a", concurrency: 1)
    try second.register("a", concurrency: 1)
    for request in 1...3 as ClosedRange<UInt64> {
      caller.call("a", request: request, [UInt8(request)], flags: .idempotent)
    }
    first.gone()
    try caller.expectResult(.workerLost, request: 1)
    caller.expectNothing()
    second.complete(try second.next(.invoke).id)
    try caller.expectResult(.ok, request: 2)
    #expect(try second.next(.invoke).payload == [3])
  }
}
