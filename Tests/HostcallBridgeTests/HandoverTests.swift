import HostcallWire
import Testing

@testable import HostcallBridge

/// What one bridge writes and another one reads. That it goes on the same is shown by the random histories.
@Suite struct HandoverTests {
  private let harness = BridgeHarness()

  private var canBeHandedOver: Bool { harness.bridge.canBeHandedOver }

  /// Some of everything.
  private func written() throws -> [UInt8] {
    let worker = harness.connect()
    let caller = harness.connect(userID: 7, groupIDs: [8, 9])
    try worker.register("a", concurrency: 2)
    try worker.register("b.*")
    caller.call("a", request: 1, [1, 2, 3], flags: .idempotent)
    caller.call("b.c", request: 2, flags: .open, timeout: 50)
    caller.call("later", request: 3, [4], flags: [.wait, .noReply])
    caller.send(FrameHeader(kind: .subscribe, id: 4), name: "news.*")
    caller.send(FrameHeader(kind: .bind, id: 5), name: "a")
    worker.complete(try #require(worker.takeAll().first { $0.kind == .invoke }).id)
    // One that has ended for its caller, one whose caller has gone, and what policy has put to sleep.
    caller.call("a", request: 6, timeout: 1)
    harness.advance(milliseconds: 1)
    let leaver = harness.connect()
    leaver.call("later", request: 1, [7], flags: [.wait, .noReply])
    leaver.gone()
    caller.send(FrameHeader(kind: .subscribe, id: 7), name: "secret")
    try worker.register("secret")
    harness.setPolicy(
      try Policy(rules: [
        PolicyRule("all", users: .everybody, may: Set(PolicyVerb.allCases), what: ["a", "b.*", "news.*", "later"])
      ]))
    harness.bridge.peerIsBacklogged(caller.id)
    worker.send(FrameHeader(kind: .publish), name: "news.today", payload: [5])
    var coder = StateCoder()
    try harness.bridge.code(&coder)
    return coder.bytes
  }

  private func read(_ bytes: [UInt8]) throws {
    var bridge = Bridge(
      limits: harness.bridge.limits, identity: DaemonIdentity(server: "s", instance: "i"), secret: 1, now: harness.now)
    var coder = StateCoder(reading: bytes, descriptors: [])
    try bridge.code(&coder)
    let (calls, connections) = (bridge.callsInFlight, bridge.connections)
    #expect(coder.isAtEnd && calls == 3 && connections == 2)
  }

  /// Another layout is another version, or a daemon would read what it does not understand.
  @Test func whatIsWrittenIsThatOfTheVersion() throws {
    let bytes = try written()
    try read(bytes)
    let fingerprint = bytes.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    #expect(Bridge.stateVersion == 1)
    #expect(
      fingerprint == 15_042_638_269_397_569_756,
      "the layout has changed: let Bridge.stateVersion grow, and write \(fingerprint) and the version here")
  }

  @Test func whatEndsTooEarlyIsRefused() throws {
    let bytes = try written()
    for count in Array(0..<64) + Array(stride(from: 64, to: bytes.count, by: 97)) {
      #expect(throws: (any Error).self) { try read(Array(bytes.prefix(count))) }
    }
  }

  /// Damage is found by the checksum; what gets through all the same is refused or read, and never ends the process.
  @Test func whatWasChangedEndsNobody() throws {
    let bytes = try written()
    for place in stride(from: 0, to: bytes.count, by: 61) {
      var changed = bytes
      changed[place] ^= 2
      var bridge = Bridge(
        limits: harness.bridge.limits, identity: DaemonIdentity(server: "s", instance: "i"), secret: 1,
        now: harness.now)
      var coder = StateCoder(reading: changed, descriptors: [])
      try? bridge.code(&coder)
    }
  }

  @Test func aProcessThatIsInTheMiddleOfSomethingCannotHandOver() throws {
    #expect(canBeHandedOver == true)
    let local = try #require(harness.connectWithoutHello(isLocal: true))
    #expect(canBeHandedOver == true)
    local.call("later", request: 1, flags: .wait)
    #expect(canBeHandedOver == false)
    local.cancel(1)
    #expect(canBeHandedOver == true)
    harness.stop(graceMilliseconds: 1_000)
    #expect(canBeHandedOver == false)
  }
}
