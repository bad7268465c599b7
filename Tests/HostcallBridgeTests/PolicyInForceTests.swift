import HostcallWire
import Testing

@testable import HostcallBridge

/// What policy lets peers do, and what another policy changes for those who are connected.
@Suite struct PolicyInForceTests {
  private static func policy(_ rules: PolicyRule...) throws -> Policy { try Policy(rules: rules) }

  /// Everybody may do everything but one thing with one name.
  private static func allBut(_ verb: PolicyVerb, _ name: String) throws -> Policy {
    let others = Set(PolicyVerb.allCases).subtracting([verb])
    return try policy(
      PolicyRule("the others", users: .everybody, may: others, what: ["*"]),
      PolicyRule("this one", users: .everybody, may: [verb], what: ["*"], except: [name]))
  }

  // MARK: Requests

  @Test func callsByNameAndBindAreDeniedWithASentence() throws {
    let harness = BridgeHarness(policy: try Self.allBut(.call, "secret"))
    let worker = harness.connect()
    try worker.register("secret")
    try worker.register("plain")
    let caller = harness.connect(userID: 33)
    caller.call("secret", request: 1)
    let result = try caller.expectResult(.denied, request: 1)
    #expect(
      result.text == "secret: policy does not let user 33 call it (hostcall can 33 call secret says why; "
        + "the rules are in hostcalld's configuration)")
    #expect(result.header.call == 0)
    caller.call("secret", request: 2, flags: .wait)
    try caller.expectResult(.denied, request: 2)
    caller.send(FrameHeader(kind: .bind, id: 3), name: "secret")
    try caller.expectResult(.denied, request: 3, containing: "user 33 call it")
    worker.expectNothing()
    caller.call("plain", request: 4)
    _ = try worker.next(.invoke)
    caller.call(handle: try caller.bind("plain"), request: 5)
    _ = try worker.next(.invoke)
    #expect(harness.bridge.statsReport().policyDenials == 3)
  }

  @Test func whoMayNotCallDoesNotLearnWhetherAnybodyHasTheName() throws {
    let harness = BridgeHarness(policy: try Self.allBut(.call, "secret"))
    let caller = harness.connect()
    caller.call("secret", request: 1)
    try caller.expectResult(.denied, request: 1)
    #expect(harness.bridge.statsReport().functions == 0)
  }

  @Test func aDeniedCallWithoutReplyIsCountedAndNotAnswered() throws {
    let harness = BridgeHarness(policy: try Self.allBut(.call, "secret"))
    let worker = harness.connect()
    try worker.register("secret")
    let caller = harness.connect()
    caller.call("secret", request: 1, flags: .noReply)
    caller.expectNothing()
    worker.expectNothing()
    let stats = harness.bridge.statsReport()
    #expect(stats.policyDenials == 1 && stats.callsRefused == 1 && stats.callsAccepted == 0)
  }

  @Test func aNameCalledByWayOfAPatternIsWhatCounts() throws {
    let harness = BridgeHarness(policy: try Self.allBut(.call, "files.secret"))
    let worker = harness.connect()
    try worker.register("files.*")
    let caller = harness.connect()
    caller.call("files.secret", request: 1)
    try caller.expectResult(.denied, request: 1)
    caller.call("files.other", request: 2)
    #expect(try worker.next(.invoke).name == "files.other")
  }

  @Test func registeringNeedsARuleThatCoversAllOfAPattern() throws {
    let harness = BridgeHarness(
      policy: try Self.policy(
        PolicyRule("workers", groups: [50], may: [.register], what: ["files.*", "one"], except: ["files.private.*"])))
    let worker = harness.connect(groupIDs: [49, 50])
    try worker.register("one")
    try worker.register("files.public.*")
    for (request, name) in ["two", "files.private.x", "files.*", "files.private.*", "*"].enumerated() {
      worker.sendRegister(name, request: UInt64(request + 1))
      try worker.expectResult(
        .denied, request: UInt64(request + 1), containing: "\(name): policy does not let user 1000")
    }
    let stranger = harness.connect(userID: 7)
    stranger.sendRegister("one", request: 1)
    try stranger.expectResult(.denied, request: 1, containing: "user 7 register it")
  }

  @Test func theDaemonsOwnFunctionsAreNamesLikeAnyOther() throws {
    let harness = BridgeHarness(
      policy: try Self.policy(PolicyRule("r", users: .everybody, may: [.call], what: ["hostcall.echo"])))
    let daemon = try #require(harness.connectWithoutHello(isLocal: true))
    try daemon.register("hostcall.echo")
    try daemon.register("hostcall.stats")
    let caller = harness.connect()
    caller.call("hostcall.stats", request: 1)
    try caller.expectResult(.denied, request: 1)
    caller.call("hostcall.echo", request: 2)
    #expect(try daemon.next(.invoke).kind == .invoke)
  }

  @Test func theDaemonsOwnProcessIsNotSubjectToIt() throws {
    let harness = BridgeHarness(
      policy: try Self.policy(PolicyRule("r", users: .these([1]), may: [.call], what: ["nothing"])))
    let local = try #require(harness.connectWithoutHello(userID: 5, isLocal: true))
    let handle = try local.register("a")
    local.call("a", request: 1)
    #expect(try local.next(.invoke).header.function == handle)
    #expect(harness.setPolicy(try Self.allBut(.register, "a")) == PolicyChange(slept: 0, woken: 0))
    local.call("a", request: 2)
    _ = try local.next(.invoke)
  }

  @Test func publishingNeedsARule() throws {
    let harness = BridgeHarness(policy: try Self.allBut(.publish, "door.open"))
    let subscriber = harness.connect()
    try subscriber.subscribe("door.*")
    let publisher = harness.connect(userID: 33)
    publisher.publish("door.open", "x")
    try publisher.expectResult(.denied, request: 904, containing: "door.open: policy does not let user 33 publish it")
    publisher.publish("door.open", "x", isAnswered: false)
    publisher.expectNothing()
    subscriber.expectNothing()
    #expect(harness.bridge.statsReport().policyDenials == 2)
    publisher.publish("door.shut", "x", isAnswered: false)
    try subscriber.expectEvent("door.shut", "x", place: 1)
  }

  @Test func subscribingNeedsARuleThatCoversAllOfAPattern() throws {
    let harness = BridgeHarness(policy: try Self.allBut(.subscribe, "door.secret"))
    let peer = harness.connect()
    for (request, name) in ["door.secret", "door.*", "*"].enumerated() {
      peer.send(FrameHeader(kind: .subscribe, id: UInt64(request + 1)), name: name)
      try peer.expectResult(
        .denied, request: UInt64(request + 1), containing: "\(name): policy does not let user 1000 subscribe to it")
    }
    try peer.subscribe("door.secret.*")
    try peer.subscribe("hostcall.*")
  }

  @Test func aForbiddenSubscriptionGetsNoEventsUntilItMayAgain() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    try peer.subscribe("door.*")
    try peer.subscribe("bell")
    let publisher = harness.connect()
    let change = harness.setPolicy(try Self.allBut(.subscribe, "door.*"))
    #expect(change == PolicyChange(slept: 0, woken: 0, subscriptionsSlept: 1, subscriptionsWoken: 0))
    publisher.publish("door.open", "1")
    #expect(try publisher.expectResult(.ok, request: 904).header.aux == 0)
    publisher.publish("bell", "2", isAnswered: false)
    try peer.expectEvent("bell", "2", place: 1)
    peer.send(FrameHeader(kind: .subscribe, id: 5), name: "door.*")
    try peer.expectResult(.denied, request: 5)
    #expect(harness.setPolicy(Policy()).subscriptionsWoken == 1)
    publisher.publish("door.open", "3", isAnswered: false)
    try peer.expectEvent("door.open", "3", place: 2)
    // One that sleeps can be ended, and goes with its peer.
    harness.setPolicy(try Self.allBut(.subscribe, "*"))
    peer.send(FrameHeader(kind: .unsubscribe, id: 6), name: "bell")
    try peer.expectResult(.ok, request: 6)
    #expect(harness.setPolicy(Policy()).subscriptionsWoken == 1)
    harness.setPolicy(try Self.allBut(.subscribe, "*"))
    for peer in [peer, publisher] { peer.gone() }
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func whoSubscribesLearnsOfRegistrationsThatSleepAndWake() throws {
    let harness = BridgeHarness()
    let worker = harness.connect()
    try worker.register("a")
    try worker.subscribe("hostcall.function.*")
    harness.setPolicy(try Self.allBut(.register, "a"))
    #expect(try worker.next(.event).name == "hostcall.function.unregistered")
    harness.setPolicy(Policy())
    #expect(try worker.next(.event).name == "hostcall.function.registered")
  }

  @Test func whatSleepsIsChargedToItsUser() throws {
    let harness = BridgeHarness { $0.registrationsPerUser = 1 }
    let worker = harness.connect()
    let handle = try worker.register("a")
    harness.setPolicy(try Self.allBut(.register, "a"))
    let other = harness.connect()
    other.sendRegister("b", request: 1)
    try other.expectResult(.overloaded, request: 1)
    worker.unregister(handle)
    other.sendRegister("b", request: 2)
    try other.expectResult(.ok, request: 2)
  }

  // MARK: Another policy

  @Test func aBoundHandleEndsWithDeniedAndWorksAgain() throws {
    let harness = BridgeHarness()
    let worker = harness.connect()
    try worker.register("a")
    let caller = harness.connect(userID: 33)
    let handle = try caller.bind("a")
    harness.setPolicy(try Self.allBut(.call, "a"))
    for request in 1...2 as ClosedRange<UInt64> {
      caller.call(handle: handle, request: request)
      try caller.expectResult(.denied, request: request, containing: "a: policy does not let user 33 call it")
    }
    caller.send(FrameHeader(kind: .bind, id: 3), name: "a")
    try caller.expectResult(.denied, request: 3)
    harness.setPolicy(try Self.allBut(.call, "b"))
    caller.call(handle: handle, request: 4)
    _ = try worker.next(.invoke)
    #expect(try caller.bind("a") == handle)
  }

  @Test func callsThatWereAcceptedGoOn() throws {
    let harness = BridgeHarness()
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    let caller = harness.connect()
    for request in 1...2 as ClosedRange<UInt64> { caller.call("a", request: request) }
    let running = try worker.next(.invoke)
    harness.setPolicy(try Self.allBut(.call, "a"))
    worker.complete(running.id, .ok, [1])
    #expect(try caller.expectResult(.ok, request: 1).payload == [1])
    worker.complete(try worker.next(.invoke).id)
    try caller.expectResult(.ok, request: 2)
  }

  @Test func aForbiddenRegistrationFinishesWhatItHasAndTakesNothingNew() throws {
    let harness = BridgeHarness()
    let worker = harness.connect()
    let handle = try worker.register("a", concurrency: 1)
    let caller = harness.connect()
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    caller.call("a", request: 3, flags: .wait)
    let running = try worker.next(.invoke)
    #expect(harness.setPolicy(try Self.allBut(.register, "a")) == PolicyChange(slept: 1, woken: 0))
    try caller.expectResult(.notFound, request: 2)
    caller.call("a", request: 4)
    try caller.expectResult(.notFound, request: 4)
    worker.complete(running.id, .ok, [7])
    #expect(try caller.expectResult(.ok, request: 1).payload == [7])
    worker.sendRegister("a", request: 5)
    try worker.expectResult(.denied, request: 5)
    #expect(harness.bridge.functionReports().first?.workers == 0)
    // Allowed again, it takes calls again, the one that has waited first.
    #expect(harness.setPolicy(Policy()) == PolicyChange(slept: 0, woken: 1))
    let invoke = try worker.next(.invoke)
    #expect(invoke.header.function == handle)
    worker.complete(invoke.id)
    try caller.expectResult(.ok, request: 3)
  }

  @Test func queuedCallsGoToWhoeverStillMayTakeThem() throws {
    let harness = BridgeHarness()
    let forbidden = harness.connect(userID: 1)
    let exact = try forbidden.register("files.a", concurrency: 1)
    let allowed = harness.connect(userID: 2)
    let pattern = try allowed.register("files.*")
    let caller = harness.connect(userID: 3)
    caller.call("files.a", request: 1)
    caller.call("files.a", request: 2)
    #expect(try forbidden.next(.invoke).header.function == exact)
    harness.setPolicy(
      try Self.policy(PolicyRule("r", users: .these([2, 3]), may: [.call, .register], what: ["*"])))
    #expect(try allowed.next(.invoke).header.function == pattern)
    caller.expectNothing()
  }

  @Test func aNameThatPassesFromOneWorkerToAnotherLosesNoCall() throws {
    let harness = BridgeHarness(
      policy: try Self.policy(PolicyRule("r", users: .everybody, may: [.call, .register], what: ["*"])))
    func only(_ user: UInt32) throws -> Policy {
      try Self.policy(
        PolicyRule("calls", users: .everybody, may: [.call], what: ["*"]),
        PolicyRule("work", users: .these([user]), may: [.register], what: ["*"]))
    }
    let first = harness.connect(userID: 1)
    try first.register("a", concurrency: 1, ["mode": "shared"])
    let second = harness.connect(userID: 2)
    try second.register("a")
    harness.setPolicy(try only(1))
    let caller = harness.connect(userID: 3)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    _ = try first.next(.invoke)
    #expect(harness.setPolicy(try only(2)) == PolicyChange(slept: 1, woken: 1))
    _ = try second.next(.invoke)
    caller.expectNothing()
  }

  @Test func whatSleepsCanBeUnregisteredAndGoesWithItsPeer() throws {
    let harness = BridgeHarness()
    let worker = harness.connect()
    let handle = try worker.register("a")
    try worker.register("b")
    harness.setPolicy(try Self.policy(PolicyRule("r", users: .everybody, may: [.call], what: ["*"])))
    #expect(harness.bridge.statsReport().functions == 2)
    worker.unregister(handle, request: 1)
    try worker.expectResult(.ok, request: 1)
    #expect(harness.bridge.statsReport().functions == 1)
    #expect(harness.setPolicy(Policy()) == PolicyChange(slept: 0, woken: 1))
    harness.setPolicy(try Self.policy(PolicyRule("r", users: .everybody, may: [.call], what: ["*"])))
    worker.gone()
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test(arguments: ["exclusive", "replace"])
  func whatSleepsStaysAsleepWhereOthersKeepItOut(mode: String) throws {
    let harness = BridgeHarness()
    let sleeper = harness.connect(userID: 1)
    try sleeper.register("a")
    let others = PolicyRule("r", users: .these([2]), may: [.call, .register], what: ["*"])
    harness.setPolicy(try Self.policy(others))
    let owner = harness.connect(userID: 2)
    let handle = try owner.register("a", ["mode": mode])
    #expect(harness.setPolicy(Policy()).woken == 0)
    owner.unregister(handle)
    _ = owner.take()
    // Exclusive keeps out for as long as it lasts, replace for good.
    #expect(harness.setPolicy(Policy()).woken == (mode == "exclusive" ? 1 : 0))
  }

  @Test func whatSleptAndIsRegisteredAnewIsThereOnce() throws {
    let harness = BridgeHarness()
    let owner = harness.connect(userID: 1)
    try owner.register("a", ["mode": "exclusive"])
    harness.setPolicy(try Self.policy(PolicyRule("r", users: .these([2]), may: [.call, .register], what: ["*"])))
    let other = harness.connect(userID: 2)
    let handle = try other.register("a", ["mode": "exclusive"])
    #expect(harness.setPolicy(Policy()).woken == 0)
    other.unregister(handle)
    _ = other.take()
    try owner.register("a")
    other.call("a", request: 1)
    _ = try owner.next(.invoke)
    #expect(harness.setPolicy(Policy()).woken == 0)
    for peer in [owner, other] { peer.gone() }
    #expect(harness.bridge.remains.isEmpty)
  }

  @Test func whatSleepsCountsAsRegistered() throws {
    var limits = BridgeHarness.quiet
    limits.registrationsPerConnection = 1
    let harness = BridgeHarness(limits: limits)
    let worker = harness.connect()
    try worker.register("a")
    harness.setPolicy(try Self.allBut(.register, "a"))
    worker.sendRegister("b", request: 1)
    try worker.expectResult(.overloaded, request: 1, containing: "1 registrations")
  }

  @Test func whoSaysGoawayIsNotWoken() throws {
    let harness = BridgeHarness()
    let worker = harness.connect()
    try worker.register("a")
    harness.setPolicy(try Self.allBut(.register, "a"))
    worker.goaway()
    #expect(harness.setPolicy(Policy()).woken == 0)
  }
}
