import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 3, *Too large*.
@Suite struct TooLargeTests {
  private let harness = BridgeHarness { $0.frameBytes = 1_024 }
  private let much = [UInt8](repeating: 1, count: 1_025)

  @Test func aBodyOfJustTheLimitIsTaken() throws {
    let peer = harness.connect()
    try peer.register("a")
    peer.call("a", request: 1, Array(repeating: 3, count: 1_023))
    #expect(try peer.next(.invoke).payload.count == 1_023)
    peer.call("a", request: 2, Array(repeating: 3, count: 1_024))
    try peer.expectResult(.tooLarge, request: 2, containing: "1024")
  }

  @Test func aCallEndsWithTooLarge() throws {
    let peer = harness.connect()
    try peer.register("a")
    peer.call("a", request: 1, much)
    let result = try peer.expectResult(.tooLarge, request: 1, containing: "max-frame")
    #expect(result.header.call == 0 && result.flags.isEmpty)
    peer.call("a", request: 2, much, flags: .noReply)
    peer.expectNothing()
    peer.ping(1)
    _ = try peer.next(.pong)
  }

  @Test func aCallWithARequestIDThatIsOutstandingIsStillAnError() throws {
    let peer = harness.connect()
    try peer.register("a")
    peer.call("a", request: 1)
    _ = try peer.next(.invoke)
    peer.call("a", request: 1, much)
    try peer.expectGoaway(containing: "outstanding")
  }

  @Test func aCompleteEndsItsCallAndIsRejected() throws {
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    let caller = harness.connect()
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    let invoke = try worker.next(.invoke)
    worker.complete(invoke.id, .ok, much)
    try worker.expectRejected(.tooLarge, invoke.id)
    let result = try caller.expectResult(.tooLarge, request: 1, containing: "max-frame")
    #expect(result.header.call == invoke.id && result.flags.isEmpty)
    _ = try worker.next(.invoke)
    worker.complete(invoke.id)
    try worker.expectRejected(.duplicate, invoke.id)
  }

  @Test func aCompleteThatEndsNoCallIsRejectedAsOthersAre() throws {
    let worker = harness.connect()
    try worker.register("a")
    let caller = harness.connect()
    worker.complete(12_345, .ok, much)
    try worker.expectRejected(.unknownCall, 12_345)
    for request in 1...2 as ClosedRange<UInt64> {
      caller.call("a", request: request)
      let invoke = try worker.next(.invoke)
      caller.cancel(request)
      _ = try worker.next(.cancel)
      worker.complete(invoke.id, request == 1 ? .ok : .cancelled, much)
      if request == 1 { try worker.expectRejected(.late, invoke.id) }
      worker.expectNothing()
      worker.complete(invoke.id, .ok, much)
      try worker.expectRejected(.duplicate, invoke.id)
    }
  }

  @Test func anyOtherRequestIsAnsweredByTooLarge() throws {
    let peer = harness.connect()
    let kinds: [FrameKind] = [.register, .unregister, .bind, .subscribe, .unsubscribe, .publish]
    for (place, kind) in kinds.enumerated() {
      peer.send(FrameHeader(kind: kind, id: UInt64(place + 1), function: 1), name: "a", payload: much)
      try peer.expectResult(.tooLarge, request: UInt64(place + 1), containing: "\(kind)")
    }
    peer.send(FrameHeader(kind: .publish), name: "a", payload: much)
    peer.expectNothing()
  }

  @Test(arguments: [FrameKind.goaway, .cancel, .item, .credit])
  func anyOtherFrameIsAnError(kind: FrameKind) throws {
    let peer = harness.connect()
    peer.send(FrameHeader(kind: kind, id: 1), payload: much)
    try peer.expectGoaway(containing: "max-frame")
  }

  @Test func aHelloIsAnError() throws {
    let peer = try #require(harness.connectWithoutHello())
    peer.send(FrameHeader(kind: .hello, id: FrameHeader.helloID, function: 1, aux: 1), payload: much)
    try peer.expectGoaway(containing: "HELLO")
  }
}
