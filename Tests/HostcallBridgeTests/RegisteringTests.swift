import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Registering*, but for patterns.
@Suite struct RegisteringTests {
  private let harness = BridgeHarness()

  @Test func theHandleIsWhatInvokeCarries() throws {
    let worker = harness.connect()
    let first = try worker.register("a")
    let second = try worker.register("b")
    #expect(first != 0 && second != 0 && first != second)
    worker.call("b", request: 1)
    let invoke = try worker.next(.invoke)
    #expect(invoke.header.function == second && invoke.name.isEmpty)
  }

  @Test func sharedJoinsTheOthers() throws {
    let workers = [harness.connect(), harness.connect()]
    for worker in workers { try worker.register("a", ["mode": "shared"]) }
    workers[0].call("a", request: 1)
    workers[0].call("a", request: 2)
    for worker in workers { _ = try worker.next(.invoke) }
  }

  @Test(arguments: ["shared", "exclusive", "replace"])
  func nobodyJoinsAnExclusiveName(mode: String) throws {
    let owner = harness.connect()
    let other = harness.connect()
    let handle = try owner.register("a", ["mode": "exclusive"])
    other.sendRegister("a", request: 5, ["mode": mode])
    try other.expectResult(.alreadyRegistered, request: 5, containing: "a: ")
    owner.unregister(handle)
    _ = owner.take()
    try other.register("a", ["mode": mode])
  }

  @Test func exclusiveIsRefusedWhereAnyoneHasTheName() throws {
    let worker = harness.connect()
    let other = harness.connect()
    try worker.register("a")
    other.sendRegister("a", request: 5, ["mode": "exclusive"])
    try other.expectResult(.alreadyRegistered, request: 5)
    try other.register("a")
    worker.gone()
    other.gone()
    try harness.connect().register("a", ["mode": "exclusive"])
  }

  @Test func exclusiveEndsWithItsConnection() throws {
    let owner = harness.connect()
    try owner.register("a", ["mode": "exclusive"])
    owner.gone()
    try harness.connect().register("a")
  }

  @Test func replaceTakesNewAndQueuedCallsAndLeavesTheRunningOnes() throws {
    let old = harness.connect()
    let caller = harness.connect()
    try old.register("a", concurrency: 1)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    let running = try old.next(.invoke)
    let new = harness.connect()
    new.sendRegister("a", request: 8, concurrency: 1, ["mode": "replace"])
    try new.expectResult(.ok, request: 8)
    let taken = try new.next(.invoke)
    caller.call("a", request: 3)
    old.complete(running.id, .ok, [1])
    #expect(try caller.expectResult(.ok, request: 1).payload == [1])
    old.expectNothing()
    new.complete(taken.id)
    try caller.expectResult(.ok, request: 2)
    _ = try new.next(.invoke)
    try old.register("a")
  }

  @Test func theSamePeerCannotRegisterANameTwice() throws {
    let worker = harness.connect()
    try worker.register("a")
    for mode in ["shared", "exclusive", "replace"] {
      worker.sendRegister("a", request: 6, ["mode": mode])
      try worker.expectResult(.alreadyRegistered, request: 6)
    }
  }

  @Test(arguments: ["hostcall.echo", "hostcall.x.y", "hostcall.*"])
  func theDaemonsNamesAreItsOwn(name: String) throws {
    let worker = harness.connect()
    worker.sendRegister(name, request: 6)
    try worker.expectResult(.invalidArgument, request: 6, containing: "hostcall.")
    try worker.register("hostcall")
    let local = try #require(harness.connectWithoutHello(isLocal: true))
    if name.last != "*" {
      try local.register(name)
      worker.call(name, request: 1)
      _ = try local.next(.invoke)
    }
  }

  @Test(
    arguments: [
      ["mode": "alone"], ["mode": ""], ["idempotent": "yes"], ["caller": "1"], ["caller": "TRUE"],
    ] as [Metadata])
  func anUnknownOptionValueIsInvalid(options: Metadata) throws {
    let worker = harness.connect()
    worker.sendRegister("a", request: 6, options)
    try worker.expectResult(.invalidArgument, request: 6)
    #expect(harness.bridge.functionReports().isEmpty && harness.bridge.statsReport().functions == 0)
  }

  @Test func anUnknownOptionIsPassedOver() throws {
    try harness.connect().register("a", ["colour": "red", "idempotent": "false", "caller": "false"])
  }

  @Test func aHandleThatWasNeverGivenOutIsInvalid() throws {
    let worker = harness.connect()
    let handle = try worker.register("a")
    for wrong in [0, handle + 1, .max] {
      worker.unregister(wrong, request: 3)
      try worker.expectResult(.invalidArgument, request: 3)
    }
    worker.unregister(handle, request: 4)
    try worker.expectResult(.ok, request: 4)
    worker.unregister(handle, request: 5)
    try worker.expectResult(.ok, request: 5)
  }

  @Test func afterUnregisterNothingNewComesAndWhatRunsIsFinished() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    let handle = try worker.register("a")
    caller.call("a", request: 1)
    let invoke = try worker.next(.invoke)
    worker.unregister(handle, request: 2)
    try worker.expectResult(.ok, request: 2)
    caller.call("a", request: 2)
    try caller.expectResult(.notFound, request: 2)
    let again = try worker.register("a")
    #expect(again != handle)
    caller.call("a", request: 3)
    let second = try worker.next(.invoke)
    #expect(second.header.function == again)
    worker.complete(invoke.id, .ok, [5])
    #expect(try caller.expectResult(.ok, request: 1).payload == [5])
  }

  @Test func aCallerWhoIsAskedForIsToldFromTheKernelsKnowledge() throws {
    let worker = harness.connect()
    try worker.register("a", ["caller": "true"])
    let caller = harness.connect(userID: 4_294_967_000)
    caller.call("a", request: 1, [8], metadata: ["trace": "x"])
    let invoke = try worker.next(.invoke)
    #expect(invoke.metadata["hostcall-caller-uid"] == "4294967000")
    #expect(invoke.metadata["hostcall-caller-gid"] == "4294967001")
    #expect(invoke.metadata["hostcall-caller-pid"] == "-294")
    let session = harness.bridge.peerReports(now: harness.now).last?.session
    #expect(invoke.metadata["hostcall-caller-session"] == session.map { "\($0)" })
    #expect(invoke.metadata["trace"] == "x" && invoke.payload == [8])
  }

  @Test func theCallersMetadataMustLeaveRoomForIt() throws {
    let worker = harness.connect()
    try worker.register("a", concurrency: 1, ["caller": "true"])
    let caller = harness.connect()
    let most: Metadata = ["m": String(repeating: "x", count: 65_535 - 160 - 4)]
    let tooMuch: Metadata = ["m": String(repeating: "x", count: 65_535 - 160 - 3)]
    caller.call("a", request: 1, metadata: tooMuch)
    try caller.expectResult(.invalidArgument, request: 1, containing: "metadata")
    caller.call("a", request: 2, metadata: most)
    let invoke = try worker.next(.invoke)
    #expect(invoke.metadata["m"] == most["m"] && invoke.metadata.entries.count == 5)
    caller.call("a", request: 3, metadata: tooMuch)
    caller.call("a", request: 4)
    worker.complete(invoke.id)
    try caller.expectResult(.ok, request: 2)
    try caller.expectResult(.invalidArgument, request: 3, containing: "metadata")
    _ = try worker.next(.invoke)
  }

  @Test func aRegistrationsIdempotenceIsToldToTheWorker() throws {
    let worker = harness.connect()
    try worker.register("a", ["idempotent": "true"])
    try worker.register("b")
    let caller = harness.connect()
    caller.call("a", request: 1)
    caller.call("b", request: 2)
    caller.call("b", request: 3, flags: .idempotent)
    #expect(try worker.next(.invoke).flags == .idempotent)
    #expect(try worker.next(.invoke).flags == [])
    #expect(try worker.next(.invoke).flags == .idempotent)
  }
}
