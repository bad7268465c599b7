import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 3, and *Liveness and leaving* of section 4 as far as a peer leaves.
@Suite struct ConversationTests {
  // MARK: HELLO

  @Test func welcomeTellsVersionLimitsAndWhoAnswers() throws {
    let harness = BridgeHarness { $0.callsInFlightPerConnection = 77 }
    let peer = try #require(harness.connectWithoutHello())
    peer.hello(lowest: 0, highest: 9)
    let welcome = try peer.next(.welcome)
    #expect(welcome.status == .ok && welcome.id != 0)
    #expect(welcome.header.function == 1 && welcome.header.aux == 77)
    #expect(welcome.metadata["server"] == "hostcalld/test")
    #expect(welcome.metadata["instance"] == BridgeHarness.instance)
    #expect(welcome.metadata["max-frame"] == "16777216")
    #expect(welcome.metadata["features"] == "streams,events,descriptors")
    #expect(!peer.isClosed)
  }

  @Test func sessionsAreDifferent() throws {
    let harness = BridgeHarness()
    var sessions: Set<UInt64> = []
    for _ in 0..<10 {
      let peer = try #require(harness.connectWithoutHello())
      peer.hello()
      #expect(sessions.insert(try peer.next(.welcome).id).inserted)
      peer.gone()
    }
  }

  @Test(arguments: [(0, 0), (2, 2), (2, 7)] as [(UInt32, UInt32)])
  func noCommonVersionIsToldAndClosed(lowest: UInt32, highest: UInt32) throws {
    let harness = BridgeHarness()
    let peer = try #require(harness.connectWithoutHello())
    peer.hello(lowest: lowest, highest: highest)
    let welcome = try peer.next(.welcome)
    #expect(welcome.status == .version && welcome.text == "1" && welcome.id != 0)
    #expect(peer.isClosed)
    peer.hello()
    peer.expectNothing()
  }

  @Test func lowestVersionAboveHighestIsAnError() throws {
    let harness = BridgeHarness()
    let peer = try #require(harness.connectWithoutHello())
    peer.hello(lowest: 2, highest: 1)
    try peer.expectGoaway(containing: "above its highest")
  }

  @Test func framesBehindHelloNeedNoWaiting() throws {
    let harness = BridgeHarness()
    let peer = try #require(harness.connectWithoutHello())
    peer.send(
      bytes: Greeting.hello(client: "eager/1") + FrameEncoder.encode(FrameHeader(kind: .ping, id: 5), payload: [9]))
    _ = try peer.next(.welcome)
    #expect(try peer.next(.pong).payload == [9])
  }

  @Test func noHelloInTimeIsTheEnd() throws {
    let harness = BridgeHarness()
    let early = try #require(harness.connectWithoutHello())
    harness.pass(milliseconds: 100)
    let late = try #require(harness.connectWithoutHello())
    let open = harness.connect()
    #expect(harness.bridge.nextWakeMilliseconds() == 10_000)
    harness.pass(nanoseconds: 4_899_999_999)
    harness.hitTime()
    early.expectNothing()
    harness.pass(nanoseconds: 1)
    harness.hitTime()
    try early.expectGoaway(containing: "HELLO")
    late.expectNothing()
    #expect(harness.bridge.nextWakeMilliseconds() == 10_100)
    late.hello()
    _ = try late.next(.welcome)
    #expect(harness.bridge.nextWakeMilliseconds() == nil)
    harness.advance(milliseconds: 60_000)
    late.expectNothing()
    open.expectNothing()
  }

  /// The vectors of `protocol-vectors.json` that depend on what came before.
  @Test func secondHelloIsRefused() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    peer.send(
      bytes: bytes(
        "1200000001000000484f535443414c4c0100000000000000000012000100000006636c69656e740900766563746f72732f31"))
    try peer.expectGoaway(containing: "second HELLO")
  }

  @Test func callBeforeHelloIsRefused() throws {
    let harness = BridgeHarness()
    let peer = try #require(harness.connectWithoutHello())
    peer.send(bytes: bytes("010000001000000001000000000000000000000000000000010000000000000061"))
    try peer.expectGoaway(containing: "CALL came before HELLO")
  }

  private func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = hexadecimal.utf8.map { UInt8(String(UnicodeScalar($0)), radix: 16) ?? 0 }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  // MARK: Order, errors

  @Test func pongSaysThatEverythingBeforeWasProcessed() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    peer.call("nobody", request: 3)
    peer.send(FrameHeader(kind: .ping, encoding: .cbor, id: 44), payload: Array(repeating: 7, count: 64))
    try peer.expectResult(.notFound, request: 3)
    let pong = try peer.next(.pong)
    #expect(pong.id == 44 && pong.payload == Array(repeating: 7, count: 64) && pong.header.encoding == .cbor)
    peer.send(FrameHeader(kind: .pong, id: 45))
    peer.expectNothing()
  }

  @Test func aViolationEndsOneConnectionAndNothingFromItCountsAfter() throws {
    let harness = BridgeHarness()
    let wrong = harness.connect()
    let other = harness.connect()
    try other.register("a")
    wrong.send(FrameHeader(kind: .ping, id: 1), payload: Array(repeating: 0, count: 65))
    try wrong.expectGoaway(containing: "64 are the most")
    wrong.call("a", request: 1)
    harness.fact { $0.peerBrokeProtocol(wrong.id, ProtocolViolation("again"), into: &$1) }
    wrong.expectNothing()
    other.expectNothing()
    #expect(harness.bridge.statsReport().protocolErrors == 1)
  }

  @Test func aRequestIDThatIsOutstandingIsAnError() throws {
    let harness = BridgeHarness()
    let worker = harness.connect()
    try worker.register("a")
    let other = harness.connect()
    other.call("a", request: 7)
    for frame in 0..<3 {
      let caller = harness.connect()
      caller.call("a", request: 7)
      switch frame {
      case 0: caller.call("a", request: 7)
      case 1: caller.sendRegister("b", request: 7)
      default: caller.send(FrameHeader(kind: .bind, id: 7), name: "c")
      }
      try caller.expectGoaway(containing: "request id 7")
    }
    other.expectNothing()
  }

  @Test func aRequestIDIsFreeAgainOnceItIsAnswered() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    try peer.register("a")
    for _ in 0..<3 {
      peer.call("a", request: 7)
      peer.complete(try peer.next(.invoke).id)
      try peer.expectResult(.ok, request: 7)
    }
  }

  @Test func aDescriptorFlagWithoutTheFeatureIsAnError() throws {
    let harness = BridgeHarness { $0.frameBytes = 1_024 }
    for size in [0, 2_000] {
      let peer = harness.connect()
      peer.call("a", request: 1, Array(repeating: 0, count: size), flags: .descriptors)
      try peer.expectGoaway(containing: "DESCRIPTORS")
    }
  }

  @Test func aStuckPeerIsClosed() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    harness.fact { $0.peerIsStuck(peer.id, into: &$1) }
    try peer.expectGoaway(.overloaded, containing: "bytes wait")
    harness.fact { $0.peerIsStuck(peer.id, into: &$1) }
    peer.expectNothing()
  }

  @Test func aPeerThatIsGoneIsNotHeardAnyMore() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    peer.gone()
    let next = harness.connect()
    peer.ping(1)
    harness.fact { $0.peerIsStuck(peer.id, into: &$1) }
    peer.gone()
    next.expectNothing()
    #expect(!next.isClosed && harness.bridge.statsReport().peers == 1)
  }
}
