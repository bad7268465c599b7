import HostcallWire
import Testing

@testable import HostcallBridge

/// A burst of peers, names or registrations does not stay in memory.
@Suite struct ShrinkingTests {
  private let harness = BridgeHarness()

  @Test func whatABurstHasLeftIsGivenBack() throws {
    let first = harness.connect()
    try first.register("stays", concurrency: 1)
    let crowd = (1...600).map { _ in harness.connect() }
    for (number, peer) in crowd.enumerated() { try peer.register("name.\(number)") }
    #expect(harness.bridge.peers.records.count > 600)
    for peer in crowd { peer.gone() }
    harness.bridge.shrink()
    #expect(harness.bridge.peers.records.count < 10)
    #expect(harness.bridge.functions.records.count < 10)
    #expect(harness.bridge.registrations.records.count < 10)
    // What stayed goes on, and what comes anew finds its place.
    let caller = harness.connect()
    caller.call("stays", request: 1)
    first.complete(try first.next(.invoke).id)
    try caller.expectResult(.ok, request: 1)
    for number in 1...300 { try caller.register("again.\(number)") }
    for number in 1...300 {
      first.call("again.\(number)", request: 7)
      caller.complete(try caller.next(.invoke).id)
      try first.expectResult(.ok, request: 7)
    }
  }

  @Test func whatSleepsCountsAmongTheNamesThatAPeerHas() throws {
    let worker = harness.connect()
    try worker.register("a")
    try worker.register("b")
    try worker.subscribe("c")
    _ = try worker.bind("a")
    #expect(harness.bridge.nameCount(of: worker.id) == 4)
    harness.setPolicy(try Policy(rules: [PolicyRule("z", users: .everybody, may: [.call], what: ["z"])]))
    #expect(harness.bridge.nameCount(of: worker.id) == 4)
  }

  @Test func whatIsInUseStays() throws {
    let crowd = (1...600).map { _ in harness.connect() }
    for peer in crowd.dropLast() { peer.gone() }
    harness.bridge.shrink()
    #expect(harness.bridge.peers.records.count == 600)
    let last = try #require(crowd.last)
    last.ping(1)
    #expect(try last.next(.pong).kind == .pong)
  }

  @Test func noPeerIsTakenForAnEarlierOneOfItsPlace() throws {
    var seen: Set<PeerID> = []
    for _ in 1...3 {
      let crowd = (1...600).map { _ in harness.connect() }
      for peer in crowd { #expect(seen.insert(peer.id).inserted) }
      for peer in crowd { peer.gone() }
      harness.bridge.shrink()
    }
  }
}
