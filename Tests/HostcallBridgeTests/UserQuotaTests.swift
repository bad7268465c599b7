import HostcallWire
import Testing

@testable import HostcallBridge

/// What one user may have over all of its connections. What others have is theirs.
@Suite struct UserQuotaTests {
  /// The last limit that was met, by its name, with its value and whom.
  private func expectNotice(
    _ harness: BridgeHarness, _ limit: String, _ value: Int, userID: UInt32 = 1_000,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let notice = harness.notices.last
    #expect(
      notice?.limit == limit && notice?.value == value && notice?.identity.userID == userID,
      "\(String(describing: notice))", sourceLocation: sourceLocation)
  }

  // MARK: Connections

  @Test func connections() throws {
    let harness = BridgeHarness { $0.connectionsPerUser = 2 }
    let first = harness.connect()
    _ = harness.connect()
    #expect(harness.connectWithoutHello() == nil)
    let refusal = try #require(harness.refusals.last)
    #expect(refusal.status == .overloaded && refusal.reason.contains("2 connections"))
    #expect(refusal.notice == LimitNotice(identity: first.identity, limit: "connections-per-user", value: 2))
    _ = harness.connect(userID: 2_000)
    first.gone()
    _ = harness.connect()
  }

  @Test func connectionsOverTime() throws {
    let harness = BridgeHarness { $0.connectionsPerSecondPerUser = 10 }
    // After a quiet second ten may come at once, and then one each tenth of a second.
    for _ in 1...10 { try #require(harness.connectWithoutHello()).gone() }
    #expect(harness.connectWithoutHello() == nil)
    #expect(try #require(harness.refusals.last).notice?.limit == "connections-per-second-per-user")
    try #require(harness.connectWithoutHello(userID: 2_000)).gone()
    harness.pass(milliseconds: 100)
    try #require(harness.connectWithoutHello()).gone()
    #expect(harness.connectWithoutHello() == nil)
    harness.pass(milliseconds: 5_000)
    for _ in 1...10 { try #require(harness.connectWithoutHello()).gone() }
    #expect(harness.connectWithoutHello() == nil)
  }

  @Test func usersThatHaveLeftAreForgotten() throws {
    let harness = BridgeHarness()
    for userID in 1...3_000 as ClosedRange<UInt32> {
      try #require(harness.connectWithoutHello(userID: userID)).gone()
      harness.pass(milliseconds: 10)
    }
    #expect(harness.bridge.users.records.count < 1_500)
    #expect(harness.bridge.remains.isEmpty)
  }

  // MARK: Calls

  @Test func callsInFlightOverAllConnections() throws {
    let harness = BridgeHarness { $0.callsInFlightPerUser = 2 }
    let worker = harness.connect(userID: 5)
    try worker.register("a")
    let (one, two, other) = (harness.connect(), harness.connect(), harness.connect(userID: 2_000))
    one.call("a", request: 1)
    two.call("a", request: 1)
    two.call("a", request: 2)
    try two.expectResult(.overloaded, request: 2, containing: "this user has 2 calls in flight")
    expectNotice(harness, "calls-in-flight-per-user", 2)
    other.call("a", request: 1)
    _ = try worker.next(.invoke)
    worker.complete(try worker.next(.invoke).id)
    try two.expectResult(.ok, request: 1)
    two.call("a", request: 3)
    _ = try worker.next(.invoke)
    #expect(try worker.next(.invoke).kind == .invoke)
  }

  @Test func callsWithoutReplyStayChargedWhenTheirCallerLeaves() throws {
    let harness = BridgeHarness { $0.callsInFlightPerUser = 2 }
    for round in 1...2 {
      let caller = harness.connect()
      caller.call("a", request: 1, flags: [.noReply, .wait])
      caller.gone()
      #expect(harness.bridge.outstanding == round)
    }
    let caller = harness.connect()
    caller.call("a", request: 1, flags: .wait)
    try caller.expectResult(.overloaded, request: 1)
    caller.gone()
    harness.advance(milliseconds: 60_000)
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func waitingCallsOfAConnectionAndOfAUser() throws {
    let harness = BridgeHarness {
      $0.queuedCallsPerConnection = 2
      $0.queuedCallsPerUser = 3
    }
    let (one, two, other) = (harness.connect(), harness.connect(), harness.connect(userID: 2_000))
    for request in 1...2 as ClosedRange<UInt64> { one.call("a", request: request, flags: .wait) }
    one.call("b", request: 3, flags: .wait)
    try one.expectResult(.overloaded, request: 3, containing: "2 calls of this connection wait")
    two.call("c", request: 1, flags: .wait)
    two.call("d", request: 2, flags: .wait)
    try two.expectResult(.overloaded, request: 2, containing: "3 calls of this user wait")
    expectNotice(harness, "queued-calls-per-user", 3)
    other.call("d", request: 1, flags: .wait)
    other.expectNothing()
    // Those that start make room.
    let worker = harness.connect()
    try worker.register("a")
    one.call("b", request: 4, flags: .wait)
    two.call("d", request: 3, flags: .wait)
    one.expectNothing()
    two.expectNothing()
  }

  @Test func callsThatAUsersWorkersHold() throws {
    let harness = BridgeHarness { $0.runningCallsPerUser = 2 }
    let (one, two) = (harness.connect(), harness.connect())
    try one.register("a")
    try two.register("b")
    let caller = harness.connect(userID: 2_000)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    caller.call("b", request: 3)
    let invoke = try one.next(.invoke)
    _ = try one.next(.invoke)
    two.expectNothing()
    // The place that is free may be another function's.
    one.complete(invoke.id)
    #expect(try two.next(.invoke).kind == .invoke)
    caller.call("b", request: 4)
    two.expectNothing()
    one.gone()
    #expect(try two.next(.invoke).kind == .invoke)
  }

  @Test func storedPayload() throws {
    let harness = BridgeHarness { $0.storedPayloadBytesPerUser = 100 }
    let (one, two, other) = (harness.connect(), harness.connect(), harness.connect(userID: 2_000))
    let payload = [UInt8](repeating: 0, count: 60)
    one.call("a", request: 1, payload, flags: .wait)
    two.call("a", request: 1, payload, flags: .wait)
    try two.expectResult(.overloaded, request: 1, containing: "60 bytes of payload for this user, 100 are the most")
    expectNotice(harness, "stored-payload-bytes-per-user", 100)
    other.call("a", request: 1, payload, flags: .wait)
    other.expectNothing()
    one.cancel(1)
    try one.expectResult(.cancelled, request: 1)
    two.call("a", request: 2, payload, flags: .wait)
    two.expectNothing()
  }

  // MARK: Names

  @Test func registrationsBoundNamesAndSubscriptions() throws {
    let harness = BridgeHarness {
      $0.registrationsPerUser = 2
      $0.boundHandlesPerUser = 2
      $0.subscriptionsPerUser = 2
    }
    let (one, two, other) = (harness.connect(), harness.connect(), harness.connect(userID: 2_000))
    let handle = try one.register("a")
    try two.register("b")
    two.sendRegister("c")
    try two.expectResult(.overloaded, request: 900, containing: "this user has 2 registrations")
    expectNotice(harness, "registrations-per-user", 2)
    _ = try one.bind("x")
    _ = try two.bind("y")
    two.send(FrameHeader(kind: .bind, id: 5), name: "z")
    try two.expectResult(.overloaded, request: 5, containing: "this user has 2 bound names")
    // A name that is bound already needs no new place.
    #expect(try two.bind("y") == 1)
    try one.subscribe("e")
    try two.subscribe("f")
    two.send(FrameHeader(kind: .subscribe, id: 6), name: "g")
    try two.expectResult(.overloaded, request: 6, containing: "this user has 2 subscriptions")
    expectNotice(harness, "subscriptions-per-user", 2)
    try other.register("c")
    _ = try other.bind("z")
    try other.subscribe("g")
    one.unregister(handle)
    try one.expectResult(.ok, request: 901)
    try two.register("c")
    one.gone()
    _ = try two.bind("z")
    try two.subscribe("g")
    for peer in [two, other] { peer.gone() }
    #expect(harness.bridge.remains.isEmpty)
  }

  // MARK: Bytes

  @Test func framesThatHaveNotComeWhole() throws {
    let harness = BridgeHarness { $0.inputBytesPerUser = 100 }
    let (one, two, other) = (harness.connect(), harness.connect(), harness.connect(userID: 2_000))
    harness.fact { $0.peerKeeps(one.id, inputBytes: 60, into: &$1) }
    harness.fact { $0.peerKeeps(other.id, inputBytes: 60, into: &$1) }
    one.expectNothing()
    harness.fact { $0.peerKeeps(two.id, inputBytes: 60, into: &$1) }
    try two.expectGoaway(.overloaded, containing: "input-bytes-per-user")
    expectNotice(harness, "input-bytes-per-user", 100)
    two.gone()
    harness.fact { $0.peerKeeps(one.id, inputBytes: 0, into: &$1) }
    harness.fact { $0.peerKeeps(one.id, inputBytes: 100, into: &$1) }
    one.expectNothing()
  }

  @Test func bytesThatWaitToBeRead() throws {
    let harness = BridgeHarness { $0.outputBytesPerUser = 1_000 }
    let (one, two, other) = (harness.connect(), harness.connect(), harness.connect(userID: 2_000))
    for peer in [one, two, other] {
      harness.hasTaken(peer, allBut: 0)
      for _ in 1...10 { peer.ping(1) }
      _ = peer.takeAll()
    }
    harness.hasTaken(one, allBut: 340)
    harness.hasTaken(other, allBut: 340)
    for _ in 1...20 { two.ping(1) }
    _ = two.takeAll()
    harness.hasTaken(two, allBut: 1_000)
    try two.expectGoaway(.overloaded, containing: "output-bytes-per-user")
    expectNotice(harness, "output-bytes-per-user", 1_000)
    one.expectNothing()
    other.expectNothing()
    for peer in [one, two, other] { peer.gone() }
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func waitingEventsAreAmongThem() throws {
    let harness = BridgeHarness { $0.outputBytesPerUser = 200 }
    let (slow, slower, publisher) = (harness.connect(), harness.connect(), harness.connect(userID: 2_000))
    try slow.subscribe("e")
    try slower.subscribe("e")
    for peer in [slow, slower] { harness.bridge.peerIsBacklogged(peer.id) }
    for number in 1...5 { publisher.publish("e", "\(number)" + String(repeating: "x", count: 48), isAnswered: false) }
    #expect(harness.bridge.users[harness.bridge.peers[slow.id.slot].user].outputBytes <= 200)
    for peer in [slow, slower] { peer.gone() }
    publisher.gone()
    #expect(harness.bridge.remains.isEmpty)
  }

  // MARK: Overrides

  @Test func someUsersMayHaveMore() throws {
    var limits = BridgeHarness.quiet
    limits.callsInFlightPerConnection = 1
    var more = limits
    more.callsInFlightPerConnection = 3
    let harness = BridgeHarness(limits: limits, limitsByUser: [7: more])
    let (plain, privileged) = (harness.connect(), try #require(harness.connectWithoutHello(userID: 7)))
    privileged.hello()
    #expect(try privileged.next(.welcome).header.aux == 3)
    for request in 1...2 as ClosedRange<UInt64> {
      plain.call("a", request: request, flags: .wait)
      privileged.call("a", request: request, flags: .wait)
    }
    try plain.expectResult(.overloaded, request: 2)
    privileged.expectNothing()
  }

  @Test func thisProcessHasNoUsersLimits() throws {
    let harness = BridgeHarness {
      $0.connectionsPerUser = 1
      $0.callsInFlightPerUser = 1
    }
    for _ in 1...3 {
      let local = try #require(harness.connectWithoutHello(isLocal: true))
      for request in 1...3 as ClosedRange<UInt64> { local.call("a", request: request, flags: .wait) }
      local.expectNothing()
    }
  }
}
