import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Calling*, but for queues.
@Suite struct CallingTests {
  private let harness = BridgeHarness()

  @Test func aCallGoesToItsWorkerAndItsResultComesBackUnchanged() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    let handle = try worker.register("token.fetch")
    let metadata: Metadata = ["trace": "ä-1", "b": ""]
    caller.call("token.fetch", request: .max, [1, 0, 255], timeout: 700, metadata: metadata, encoding: .json)
    let invoke = try worker.next(.invoke)
    #expect(invoke.id != 0 && invoke.header.function == handle && invoke.header.timeoutMilliseconds == 700)
    #expect(invoke.name.isEmpty && invoke.metadata == metadata && invoke.payload == [1, 0, 255])
    #expect(invoke.header.encoding == .json && invoke.header.aux == 0 && invoke.flags.isEmpty)
    worker.complete(
      invoke.id, Status(rawValue: 200), [9, 9], metadata: ["m": "n"], encoding: PayloadEncoding(rawValue: 129))
    let result = try caller.expectResult(Status(rawValue: 200), request: .max)
    #expect(result.header.call == invoke.id && result.flags == .fromWorker && result.header.aux == 0)
    #expect(result.metadata == ["m": "n"] && result.payload == [9, 9])
    #expect(result.header.encoding == PayloadEncoding(rawValue: 129))
    worker.expectNothing()
    caller.expectNothing()
  }

  @Test func aQueuedCallKeepsItsPayloadMetadataAndEncoding() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1)
    caller.call("a", request: 2, [4, 5], metadata: ["k": "v"], encoding: .cbor)
    caller.call("a", request: 3)
    worker.complete(try worker.next(.invoke).id)
    let invoke = try worker.next(.invoke)
    #expect(invoke.payload == [4, 5] && invoke.metadata == ["k": "v"] && invoke.header.encoding == .cbor)
    worker.complete(invoke.id)
    #expect(try worker.next(.invoke).payload.isEmpty)
    #expect(harness.bridge.statsReport().storedPayloadBytes == 0)
  }

  @Test func bindAnswersWhetherOrNotAnyoneHasTheName() throws {
    let caller = harness.connect()
    let handle = try caller.bind("later")
    #expect(try caller.bind("later") == handle)
    let other = try caller.bind("other")
    #expect(other != handle)
    caller.call(handle: handle, request: 1)
    try caller.expectResult(.notFound, request: 1, containing: "later")
    let worker = harness.connect()
    try worker.register("later")
    caller.call(handle: handle, request: 2, [7], metadata: ["x": "y"])
    let invoke = try worker.next(.invoke)
    #expect(invoke.payload == [7] && invoke.metadata == ["x": "y"] && invoke.name.isEmpty)
  }

  @Test func handlesAreGoodForTheirConnectionOnly() throws {
    let first = harness.connect()
    let second = harness.connect()
    try first.register("a")
    try first.register("b")
    let a = try first.bind("a")
    second.call(handle: a, request: 1)
    try second.expectResult(.invalidArgument, request: 1, containing: "\(a)")
    let b = try second.bind("b")
    second.call(handle: b, request: 2, [2])
    first.call(handle: a, request: 3, [3])
    let handles = [try first.next(.invoke), try first.next(.invoke)].map(\.header.function)
    #expect(handles == [2, 1])
    second.call(handle: .max, request: 4)
    try second.expectResult(.invalidArgument, request: 4)
  }

  @Test func handlesGoWithTheirConnection() throws {
    let caller = harness.connect()
    for name in ["a", "b", "a"] { _ = try caller.bind(name) }
    #expect(harness.bridge.statsReport().functions == 2)
    caller.gone()
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func bindOfADaemonsNameIsAllowed() throws {
    let local = try #require(harness.connectWithoutHello(isLocal: true))
    try local.register("hostcall.echo")
    let caller = harness.connect()
    caller.call(handle: try caller.bind("hostcall.echo"), request: 1)
    local.complete(try local.next(.invoke).id)
    try caller.expectResult(.ok, request: 1)
  }

  @Test func nobodyHasTheName() throws {
    let caller = harness.connect()
    caller.call("nope", request: 1)
    let result = try caller.expectResult(.notFound, request: 1, containing: "nope")
    #expect(result.header.call == 0 && result.flags.isEmpty && result.header.encoding == .raw)
    #expect(harness.bridge.statsReport().functions == 0)
  }

  @Test func aWaitingCallIsTakenByAWorkerThatComes() throws {
    let caller = harness.connect()
    caller.call("a", request: 1, [1], flags: .wait)
    caller.call("a", request: 2, [2], flags: .wait)
    caller.expectNothing()
    let worker = harness.connect()
    worker.sendRegister("a", request: 9)
    try worker.expectResult(.ok, request: 9)
    #expect(try worker.next(.invoke).payload == [1])
    #expect(try worker.next(.invoke).payload == [2])
  }

  @Test func aWaitingCallWaitsUntilItsDeadline() throws {
    let caller = harness.connect()
    caller.call("a", request: 1, flags: .wait, timeout: 50)
    harness.advance(milliseconds: 49)
    caller.expectNothing()
    harness.advance(milliseconds: 1)
    let result = try caller.expectResult(.timeout, request: 1, containing: "a: ")
    #expect(result.header.call != 0)
    try harness.connect().register("a")
    #expect(harness.bridge.nextWakeMilliseconds() == nil)
  }

  @Test func noReplyMeansNoResultWhateverHappens() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    caller.call("a", request: 1, flags: .noReply)
    try worker.register("a")
    caller.call("a", request: 2, flags: .noReply)
    caller.call("a", request: 2, flags: .noReply)
    worker.complete(try worker.next(.invoke).id, .failed)
    let second = try worker.next(.invoke)
    harness.advance(milliseconds: 30_000)
    #expect(try worker.next(.cancel).status == .timeout)
    worker.complete(second.id)
    try worker.expectRejected(.late, second.id)
    caller.call("a", request: 3, flags: .noReply)
    worker.gone()
    caller.expectNothing()
    #expect(harness.bridge.statsReport().callsInFlight == 0)
  }

  @Test func timeoutsHaveADefaultAndAMaximum() throws {
    let harness = BridgeHarness {
      $0.defaultTimeoutMilliseconds = 400
      $0.timeoutMilliseconds = 900
    }
    let worker = harness.connect()
    try worker.register("a")
    try worker.register("quick", timeout: 250)
    for (request, timeout) in ([0, 1, 900, 901, .max] as [UInt32]).enumerated() {
      worker.call("a", request: UInt64(request + 1), timeout: timeout)
    }
    let left = try (0..<5).map { _ in try worker.next(.invoke).header.timeoutMilliseconds }
    #expect(left == [400, 1, 900, 900, 900])
    worker.call("quick", request: 6, timeout: 300)
    worker.call("quick", request: 7, timeout: 200)
    #expect(try worker.next(.invoke).header.timeoutMilliseconds == 250)
    #expect(try worker.next(.invoke).header.timeoutMilliseconds == 200)
  }

  @Test func invokeSaysWhatIsLeft() throws {
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    for request in 1...3 as ClosedRange<UInt64> { worker.call("a", request: request, timeout: 100) }
    let first = try worker.next(.invoke)
    harness.advance(milliseconds: 30)
    worker.complete(first.id)
    _ = try worker.next(.result)
    let second = try worker.next(.invoke)
    #expect(second.header.timeoutMilliseconds == 70)
    harness.pass(nanoseconds: 69_999_999)
    worker.complete(second.id)
    _ = try worker.next(.result)
    #expect(try worker.next(.invoke).header.timeoutMilliseconds == 1)
  }

  @Test func aPeerMayCallItsOwnFunction() throws {
    let peer = harness.connect()
    try peer.register("a")
    peer.call("a", request: 1, [1])
    let invoke = try peer.next(.invoke)
    peer.complete(invoke.id, .ok, [2])
    #expect(try peer.expectResult(.ok, request: 1).payload == [2])
  }

  @Test func aPeerThatCallsItselfAndIsLostLeavesNothing() throws {
    let peer = harness.connect()
    try peer.register("a", concurrency: 1, ["idempotent": "true"])
    for request in 1...3 as ClosedRange<UInt64> { peer.call("a", request: request, flags: [.wait, .idempotent]) }
    peer.gone()
    let other = harness.connect()
    try other.register("a")
    other.expectNothing()
    other.gone()
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func correlationIDsAreNeverIssuedTwice() throws {
    let harness = BridgeHarness { $0.rememberedOutcomes = 1 }
    let peer = harness.connect()
    try peer.register("a")
    var seen: Set<UInt64> = []
    for request in 1...2_000 as ClosedRange<UInt64> {
      peer.call("a", request: request)
      let invoke = try peer.next(.invoke)
      try #require(invoke.id != 0 && seen.insert(invoke.id).inserted)
      peer.complete(invoke.id)
      _ = peer.take()
    }
  }
}
