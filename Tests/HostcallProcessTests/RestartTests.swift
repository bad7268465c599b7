import Glibc
import HostcallLoop
import HostcallTestSupport
import HostcallWire
import Testing

/// A daemon leaves everything to the next one, and nobody but the two notices.
@Suite("Restart without loss", .timeLimit(.minutes(3)))
struct RestartTests {
  /// No correlation id has this bit.
  private static let mark: UInt64 = 1 << 63

  /// A service with its first daemon.
  private final class Running {
    let service: FakeService
    private(set) var daemon: ChildProcess

    init(_ names: [String] = ["clients"], arguments: [String] = [], configuration: String? = nil) throws {
      service = try FakeService(names, arguments: arguments, configuration: configuration)
      daemon = try service.start()
    }

    func connect(features: [String] = []) throws -> RawPeer {
      let path = service.folder.file("clients")
      try RawPeer.waiting(for: path, while: { daemon.isRunning }).close()
      return try RawPeer(path, features: features)
    }

    func restart() throws {
      let (next, status) = try service.restart(daemon)
      #expect(status == FakeService.handedOver, "\(service.log())")
      daemon = next
    }

    func stop() {
      #expect(daemon.stop() == 0, "\(service.log())")
    }
  }

  @Test func callsInFlightAreAnsweredAndNobodyConnectsAgain() throws {
    let running = try Running()
    let worker = try running.connect()
    let caller = try running.connect()
    try worker.register("work")
    try caller.call("work", request: Self.mark | 1, payload: [1, 2])
    let invoke = try worker.expect(.invoke)
    try running.restart()
    try worker.complete(invoke.header.id, payload: [3])
    let result = try caller.expect(.result)
    #expect(result.header.id == Self.mark | 1 && result.payload == [3])
    try caller.call("work", request: Self.mark | 2, payload: [4])
    try running.restart()
    let second = try worker.expect(.invoke)
    #expect(second.payload == [4] && second.header.id != invoke.header.id)
    // What has ended is remembered, and an id never used again.
    try worker.complete(invoke.header.id)
    #expect(try worker.expect(.rejected).header.status == .duplicate)
    try worker.complete(second.header.id)
    #expect(try caller.expect(.result).header.status == .ok)
    running.stop()
    let log = running.service.log()
    #expect(log.contains("handing over connections=2 calls=1"))
    #expect(log.contains("took over connections=2 calls=1"))
  }

  @Test func theBuiltInFunctionsGoOnByNameAndByHandle() throws {
    let running = try Running()
    let peer = try running.connect()
    try peer.send(FrameHeader(kind: .bind, id: 1), name: "hostcall.echo")
    let handle = try peer.expect(.result).header.aux
    for round in 1...3 as ClosedRange<UInt8> {
      try running.restart()
      try peer.send(FrameHeader(kind: .call, id: 2, function: handle), payload: [round])
      #expect(try peer.expect(.result).payload == [round])
      try peer.call("hostcall.info", request: 3)
      // Its pid is another one, and the instance that WELCOME told of the same.
      #expect(try peer.expect(.result).text.contains("\"processID\":\(running.daemon.processID)"))
    }
    running.stop()
  }

  @Test func aWaitingCallWaitsOnAndItsDeadlineHolds() throws {
    let running = try Running()
    let caller = try running.connect()
    try caller.call("nobody.yet", request: 1, flags: .wait, timeoutMilliseconds: 60_000, payload: [5])
    try caller.call("never", request: 2, flags: .wait, timeoutMilliseconds: 300)
    try caller.barrier()
    try running.restart()
    let timeout = try caller.expect(.result)
    #expect(timeout.header.id == 2 && timeout.header.status == .timeout)
    let worker = try running.connect()
    try worker.register("nobody.yet")
    // The answer to REGISTER came first.
    let invoke = try worker.expect(.invoke)
    #expect(invoke.payload == [5])
    try worker.complete(invoke.header.id, payload: [6])
    #expect(try caller.expect(.result).payload == [6])
    running.stop()
  }

  @Test func aFrameThatHasComeInPartIsFinished() throws {
    let running = try Running()
    let worker = try running.connect()
    let caller = try running.connect()
    try worker.register("large")
    // Small, large enough for memory of its own, and in the middle of its header.
    for (size, cut) in [(1_000, 500), (900_000, 700_000), (900_000, 40_000), (10, 11)] {
      let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      let frame = FrameEncoder.encode(FrameHeader(kind: .call, id: 9), name: "large", payload: payload)
      try caller.send(Array(frame[..<cut]))
      try Self.untilRead(caller)
      try running.restart()
      try caller.send(Array(frame[cut...]))
      let invoke = try worker.expect(.invoke)
      #expect(invoke.payload == payload)
      try worker.complete(invoke.header.id)
      #expect(try caller.expect(.result).header.status == .ok)
    }
    running.stop()
  }

  /// Until nothing of what a peer has sent lies in its socket.
  private static func untilRead(_ peer: RawPeer) throws {
    try eventually("the daemon reads") {
      var bytes: Int32 = 0
      return ioctl(peer.descriptor, UInt(TIOCOUTQ), &bytes) == 0 && bytes == 0
    }
  }

  @Test func whatAPeerHasNotReadYetIsKeptInOrder() throws {
    let running = try Running(configuration: "[limits]\noutput-bytes-before-close = 268435456\n")
    let worker = try running.connect()
    let caller = try running.connect()
    try worker.register("big", concurrency: 64)
    let sizes = [3_000_000, 10, 500_000, 70_000, 0, 1_000_000]
    for (index, _) in sizes.enumerated() { try caller.call("big", request: UInt64(index + 1)) }
    for size in sizes {
      let invoke = try worker.expect(.invoke)
      try worker.complete(invoke.header.id, payload: (0..<size).map { UInt8(truncatingIfNeeded: $0 / 3) })
    }
    try worker.barrier()
    for _ in 1...3 { try running.restart() }
    for (index, size) in sizes.enumerated() {
      let result = try caller.expect(.result)
      #expect(result.header.id == UInt64(index + 1) && result.payload.count == size)
      #expect(result.payload.enumerated().allSatisfy { $1 == UInt8(truncatingIfNeeded: $0 / 3) })
    }
    try caller.barrier()
    running.stop()
  }

  @Test func streamsGoOnWithTheirCredit() throws {
    let running = try Running()
    let worker = try running.connect()
    let caller = try running.connect()
    try worker.register("items")
    try caller.send(FrameHeader(kind: .call, flags: .open, id: Self.mark | 1, aux: 2), name: "items")
    let invoke = try worker.expect(.invoke)
    #expect(invoke.header.aux == 2)
    try worker.send(FrameHeader(kind: .item, id: invoke.header.id, aux: 0), payload: [0])
    try worker.send(FrameHeader(kind: .credit, id: invoke.header.id, aux: 1))
    #expect(try caller.expect(.item).payload == [0])
    #expect(try caller.expect(.credit).header.aux == 1)
    try running.restart()
    try worker.send(FrameHeader(kind: .item, id: invoke.header.id, aux: 1), payload: [1])
    #expect(try caller.expect(.item).payload == [1])
    try caller.send(FrameHeader(kind: .item, id: Self.mark | 1, aux: 0), payload: [9])
    #expect(try worker.expect(.item).payload == [9])
    try caller.send(FrameHeader(kind: .credit, id: Self.mark | 1, aux: 5))
    #expect(try worker.expect(.credit).header.aux == 5)
    try running.restart()
    try worker.complete(invoke.header.id)
    #expect(try caller.expect(.result).header.status == .ok)
    running.stop()
  }

  @Test func eventsGoOnWithTheirNumbers() throws {
    let running = try Running()
    let subscriber = try running.connect()
    let publisher = try running.connect()
    try subscriber.send(FrameHeader(kind: .subscribe, id: 1), name: "news.*")
    try subscriber.expect(.result)
    for number in 1...4 as ClosedRange<UInt64> {
      try publisher.send(FrameHeader(kind: .publish, id: 2), name: "news.today", payload: [UInt8(number)])
      #expect(try publisher.expect(.result).header.aux == 1)
      let event = try subscriber.expect(.event)
      #expect(event.header.id == number && event.payload == [UInt8(number)])
      try running.restart()
    }
    running.stop()
  }

  @Test func openFilesUnderWayArrive() throws {
    let running = try Running()
    let worker = try running.connect(features: ["descriptors"])
    let caller = try running.connect(features: ["descriptors"])
    let files = ["waits", "two", "begun"].map { UnnamedFile($0) }
    try caller.send(
      FrameHeader(kind: .call, flags: .wait, id: 1), name: "look", payload: [1],
      descriptors: [files[0].descriptor, files[1].descriptor])
    try caller.barrier()
    // Of a frame that has only begun.
    let half = FrameEncoder.encode(
      FrameHeader(kind: .call, flags: [.wait, .descriptors], id: 2), name: "look", metadata: ["descriptors": "1"],
      payload: [2])
    try caller.send(Array(half[..<20]), descriptors: [files[2].descriptor])
    try Self.untilRead(caller)
    try running.restart()
    try caller.send(Array(half[20...]))
    try worker.register("look")
    for (payload, texts) in [([1], ["waits", "two"]), ([2], ["begun"])] as [([UInt8], [String])] {
      let invoke = try worker.expect(.invoke)
      #expect(invoke.payload == payload)
      let came = worker.takeDescriptors()
      #expect(came.map { UnnamedFile.text(of: $0) } == texts)
      for file in came { close(file) }
      try worker.complete(invoke.header.id)
      #expect(try caller.expect(.result).header.status == .ok)
    }
    withExtendedLifetime(files) {}
    running.stop()
  }

  @Test func whoConnectsMeanwhileIsAnsweredAndWhoHasGoneIsMissed() throws {
    let running = try Running()
    let worker = try running.connect()
    let caller = try running.connect()
    try worker.register("work")
    try caller.call("work", request: 1)
    try worker.expect(.invoke)
    kill(running.daemon.processID, SIGUSR2)
    running.service.manager.serve { running.daemon.isRunning }
    // No daemon is there now.
    let late = try RawPeer(running.service.folder.file("clients"), hello: false)
    try late.send(Greeting.hello(client: "late/1"))
    worker.close()
    let next = try running.service.start()
    try late.expect(.welcome)
    #expect(try caller.expect(.result).header.status == .workerLost)
    #expect(next.stop() == 0)
  }

  @Test func aDaemonThatListensByItselfKeepsItsSocket() throws {
    let service = try FakeService([])
    let path = service.folder.file("clients")
    service.arguments = ["--socket", path]
    let first = try service.start()
    let peer = try RawPeer.waiting(for: path)
    kill(first.processID, SIGUSR2)
    service.manager.serve { first.isRunning }
    let late = try RawPeer(path, hello: false)
    try late.send(Greeting.hello(client: "late/1"))
    let second = try service.start()
    try late.expect(.welcome)
    try peer.barrier()
    // One that listens elsewhere closes the old place.
    kill(second.processID, SIGUSR2)
    service.manager.serve { second.isRunning }
    service.arguments = ["--socket", service.folder.file("elsewhere")]
    let third = try service.start()
    try peer.barrier()
    #expect(access(path, F_OK) != 0)
    try RawPeer.waiting(for: service.folder.file("elsewhere")).barrier()
    #expect(third.stop() == 0, "\(service.log())")
  }

  @Test func anotherPolicyHoldsForThoseWhoAreThere() throws {
    let service = try FakeService(configuration: "[server]\n")
    var daemon = try service.start()
    let worker = try RawPeer.waiting(for: service.folder.file("clients"))
    let caller = try RawPeer(service.folder.file("clients"))
    try worker.register("private.thing")
    try caller.send(FrameHeader(kind: .bind, id: 1), name: "private.thing")
    let handle = try caller.expect(.result).header.aux
    Files.write(
      """
      [[policy]]
      name = "all"
      users = ["*"]
      may = ["call", "register"]
      what = ["*"]
      except = ["private.*"]
      """.utf8, to: service.folder.file("hostcalld.toml"))
    (daemon, _) = try service.restart(daemon)
    try caller.send(FrameHeader(kind: .call, id: 2, function: handle))
    #expect(try caller.expect(.result).header.status == .denied)
    Files.write("".utf8, to: service.folder.file("hostcalld.toml"))
    (daemon, _) = try service.restart(daemon)
    try caller.send(FrameHeader(kind: .call, id: 3, function: handle))
    // What slept is awake.
    let invoke = try worker.expect(.invoke)
    try worker.complete(invoke.header.id)
    #expect(try caller.expect(.result).header.status == .ok)
    #expect(daemon.stop() == 0)
  }

  @Test func manyConnectionsComeAlong() throws {
    let running = try Running()
    let peers = try (0..<600).map { _ in try running.connect() }
    try running.restart()
    for peer in peers { try peer.barrier() }
    running.stop()
    #expect(running.service.log().contains("took over connections=600 calls=0"))
  }

  @Test func limitsAreCountedOnAcrossProcesses() throws {
    let running = try Running(configuration: "[limits]\nregistrations-per-user = 2\ncalls-in-flight-per-user = 2\n")
    let peer = try running.connect()
    try peer.register("one")
    try peer.call("later", request: 1, flags: .wait)
    try running.restart()
    try peer.register("two")
    #expect(throws: (any Error).self) { try peer.register("three") }
    try peer.call("later", request: 2, flags: .wait)
    try peer.call("later", request: 3, flags: .wait)
    let result = try peer.expect(.result)
    #expect(result.header.id == 3 && result.header.status == .overloaded)
    running.stop()
  }

  // MARK: What goes wrong

  @Test(arguments: FakeServiceManager.Damage.allCases)
  func aStateThatCannotBeReadIsACleanStart(damage: FakeServiceManager.Damage) throws {
    let running = try Running()
    let peer = try running.connect()
    kill(running.daemon.processID, SIGUSR2)
    running.service.manager.serve { running.daemon.isRunning }
    try running.service.manager.damage(damage)
    let next = try running.service.start()
    // It is cut off and told so, and can connect again.
    try peer.expectEnd()
    try RawPeer(running.service.folder.file("clients")).barrier()
    #expect(next.stop() == 0)
    running.service.manager.serve { false }
    #expect(running.service.manager.kept.isEmpty, "it would be given the same state again")
    let lines = running.service.log().split(separator: "\n").filter { $0.contains("was not taken over") }
    #expect(lines.count == 1, "\(running.service.log())")
  }

  @Test func withoutAServiceManagerItShutsDownAsUsual() throws {
    let daemon = try DaemonProcess()
    let peer = try RawPeer(daemon.socketPath)
    #expect(daemon.stop(signal: SIGUSR2) == 0)
    #expect(try peer.expect(.goaway).header.status == .shuttingDown)
    #expect(daemon.standardError().contains("not handed over, shutting down instead"))
  }

  /// Its `ExecStop=` has said SIGUSR2; SIGTERM follows at once, whatever has come of that.
  @Test func whereItCannotHandOverRunningCallsHaveTheirTime() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    let caller = try RawPeer(daemon.socketPath)
    try worker.register("work")
    try caller.call("work", request: 1)
    let invoke = try worker.expect(.invoke)
    kill(daemon.processID, SIGUSR2)
    try worker.expect(.goaway)
    kill(daemon.processID, SIGTERM)
    // Heard by now: a PING is answered after it.
    try caller.expect(.goaway)
    for _ in 1...20 { try caller.barrier() }
    try worker.complete(invoke.header.id, payload: [1])
    #expect(try caller.expect(.result).payload == [1])
    #expect(daemon.wait() == 0)
  }

  @Test func whileItLeavesItLeaves() throws {
    let running = try Running()
    let peer = try running.connect()
    try peer.call("never", request: 1, flags: .wait)
    try peer.barrier()
    kill(running.daemon.processID, SIGTERM)
    try peer.expect(.goaway)
    kill(running.daemon.processID, SIGUSR2)
    kill(running.daemon.processID, SIGTERM)
    #expect(try peer.expect(.result).header.status == .shuttingDown)
    #expect(running.daemon.wait() == 0)
    #expect(running.service.manager.kept.isEmpty)
  }
}
