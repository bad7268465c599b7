import Glibc
import HostcallTestSupport
import HostcallWire
import Testing

/// A daemon that starts its workers when they are wanted.
@Suite(
  "Workers on demand", .timeLimit(.minutes(3)),
  .disabled(if: Valgrind.isWanted, "valgrind 3.19 knows no descriptor of a process (pidfd_open)"))
struct OnDemandProcessTests {
  private static let hostcall = "\(ChildProcess.productsFolder)/hostcall"

  /// `[[worker]]` whose command is a line for the shell, in which $HOSTCALL is the command line program.
  private static func worker(_ script: String, _ more: String = "", function: String = "upper") -> String {
    let script = script.replacing("$HOSTCALL", with: hostcall).replacing("\"", with: "\\\"")
    return """
      [[worker]]
      name = "the worker"
      functions = ["\(function)"]
      command = ["/bin/sh", "-c", "\(script)"]
      \(more)

      """
  }

  @Test func aCallStartsItAndWaits() throws {
    let daemon = try DaemonProcess(configuration: Self.worker("exec $HOSTCALL serve upper -- tr a-z A-Z"))
    let caller = try RawPeer(daemon.socketPath)
    for request in 1...3 as ClosedRange<UInt64> {
      try caller.call("upper", request: request, payload: Array("abc".utf8))
      #expect(try caller.expect(.result).text == "ABC")
    }
    try eventually("the log tells of it") { daemon.standardError().contains("worker started worker=\"the worker\"") }
    // Once.
    #expect(daemon.standardError().split(separator: "\n").count { $0.contains("worker started") } == 1)
    #expect(daemon.stop() == 0)
    #expect(daemon.standardError().contains("worker has ended"))
  }

  @Test func itIsStartedAgainWhenItHasDied() throws {
    let daemon = try DaemonProcess(
      configuration: Self.worker("exec $HOSTCALL serve upper -- tr a-z A-Z", "first-delay-milliseconds = 1"))
    let caller = try RawPeer(daemon.socketPath)
    for request in 1...4 as ClosedRange<UInt64> {
      try caller.call("upper", request: request, payload: Array("abc".utf8))
      #expect(try caller.expect(.result).text == "ABC")
      let worker = try Self.workerProcess(daemon)
      kill(worker, SIGKILL)
      try eventually("its end is told of") {
        daemon.standardError().contains("worker has ended worker=\"the worker\" pid=\(worker) status=137")
      }
    }
    #expect(daemon.stop() == 0)
  }

  private static func workerProcess(_ daemon: DaemonProcess) throws -> Int32 {
    var process: Int32?
    try eventually("the log tells who the worker is") {
      let line = daemon.standardError().split(separator: "\n").last { $0.contains("worker started") }
      process = line?.split(separator: " ").first { $0.hasPrefix("pid=") }.flatMap { Int32($0.dropFirst(4)) }
      return process != nil
    }
    return process ?? -1
  }

  @Test func oneThatDoesNotStayIsGivenUpAndCallersAreTold() throws {
    let daemon = try DaemonProcess(
      configuration: Self.worker("exit 3", "first-delay-milliseconds = 1\nlongest-delay-milliseconds = 2\nstarts = 3"))
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("upper", request: 1)
    let result = try caller.expect(.result)
    #expect(result.header.status == .unavailable && result.text.contains("was started several times"))
    try caller.call("upper", request: 2)
    #expect(try caller.expect(.result).header.status == .unavailable)
    #expect(daemon.stop() == 0)
    let log = daemon.standardError()
    #expect(log.split(separator: "\n").count { $0.contains("worker started ") } == 3)
    #expect(log.contains("worker has ended worker=\"the worker\"") && log.contains("status=3"))
    #expect(log.contains("worker was started too often"))
  }

  @Test func oneThatDoesNotRegisterIsEnded() throws {
    let daemon = try DaemonProcess(
      configuration: Self.worker("exec sleep 600", "start-milliseconds = 50\nstarts = 1\nfirst-delay-milliseconds = 1"))
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("upper", request: 1)
    #expect(try caller.expect(.result).header.status == .unavailable)
    #expect(daemon.stop() == 0)
    #expect(daemon.standardError().contains("worker has not registered in time, it is ended"))
  }

  @Test func aCallThatKillsItsWorkerTwiceIsGivenToNoOther() throws {
    let script =
      "exec $HOSTCALL serve upper --idempotent -- sh -c 'read line; [ $line = die ] && kill -9 $PPID; echo $line'"
    let daemon = try DaemonProcess(configuration: Self.worker(script, "first-delay-milliseconds = 1"))
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("upper", request: 1, payload: Array("die\n".utf8))
    let result = try caller.expect(.result)
    #expect(result.header.status == .workerLost && result.text.contains("it is given to no other"))
    // Others' calls are served.
    try caller.call("upper", request: 2, payload: Array("live\n".utf8))
    #expect(try caller.expect(.result).text == "live\n")
    #expect(daemon.stop() == 0)
    #expect(daemon.standardError().contains("limit=workers-lost-per-call"))
  }

  @Test func aRestartKeepsItRunning() throws {
    // A call runs until there is a file of its name.
    let folder = TemporaryFolder()
    let script = "read name; until [ -e \(folder.file("$name")) ]; do sleep 0.01; done; echo $PPID"
    let service = try FakeService(
      configuration: Self.worker("exec $HOSTCALL serve upper -- sh -c '\(script)'", "starts = 1"))
    var daemon = try service.start()
    let caller = try RawPeer.waiting(for: service.folder.file("clients"))
    Files.write([], to: folder.file("1"))
    try caller.call("upper", request: 1, payload: Array("1\n".utf8))
    let first = try caller.expect(.result).text
    for request in 2...4 as ClosedRange<UInt64> {
      try caller.call("upper", request: request, payload: Array("\(request)\n".utf8))
      try caller.barrier()
      (daemon, _) = try service.restart(daemon)
      Files.write([], to: folder.file("\(request)"))
      let result = try caller.expect(.result)
      #expect(result.header.status == .ok && result.text == first)
    }
    // It is looked after as before: it ends with the daemon.
    let worker = try #require(Int32(first.dropLast()))
    #expect(daemon.stop() == 0)
    #expect(kill(worker, 0) != 0 || Self.isZombie(worker))
    #expect(service.log().contains("worker has ended worker=\"the worker\" pid=\(worker)"))
  }

  @Test func itOutlivesADaemonThatIsKilledAndIsLookedAfterByTheNext() throws {
    let service = try FakeService(configuration: Self.worker("exec $HOSTCALL serve upper -- sh -c 'echo $PPID'"))
    let path = service.folder.file("clients")
    let first = try service.start()
    let caller = try RawPeer.waiting(for: path)
    try caller.call("upper", request: 1)
    let worker = try #require(Int32(try caller.expect(.result).text.dropLast()))
    first.stop(signal: SIGKILL)
    let second = try service.start()
    let again = try RawPeer(path)
    try again.call("upper", request: 1, flags: .wait)
    #expect(try again.expect(.result).text == "\(worker)\n")
    #expect(second.stop() == 0)
    #expect(kill(worker, 0) != 0 || Self.isZombie(worker))
    #expect(access(path + ".workers", F_OK) != 0)
    #expect(service.log().split(separator: "\n").count { $0.contains("worker started ") } == 1)
  }

  @Test func itStaysWhereTheNextDaemonCannotReadTheStateOfTheLast() throws {
    let service = try FakeService(configuration: Self.worker("exec $HOSTCALL serve upper -- sh -c 'echo $PPID'"))
    let path = service.folder.file("clients")
    let first = try service.start()
    let caller = try RawPeer.waiting(for: path)
    try caller.call("upper", request: 1)
    let worker = try caller.expect(.result).text
    kill(first.processID, SIGUSR2)
    service.manager.serve { first.isRunning }
    try service.manager.damage(.ofAnotherVersion)
    let second = try service.start()
    let again = try RawPeer(path)
    try again.call("upper", request: 1, flags: .wait)
    #expect(try again.expect(.result).text == worker)
    #expect(second.stop() == 0)
    #expect(service.log().contains("was not taken over"))
    #expect(service.log().split(separator: "\n").count { $0.contains("worker started ") } == 1)
  }

  @Test func oneThatTheConfigurationHasOtherwiseIsEndedByTheNextDaemon() throws {
    let service = try FakeService(configuration: Self.worker("exec $HOSTCALL serve upper -- sh -c 'echo $PPID'"))
    let first = try service.start()
    let caller = try RawPeer.waiting(for: service.folder.file("clients"))
    try caller.call("upper", request: 1)
    let worker = try #require(Int32(try caller.expect(.result).text.dropLast()))
    Files.write(
      Self.worker("exec $HOSTCALL serve upper -- echo new").utf8, to: service.folder.file("hostcalld.toml"))
    let (second, _) = try service.restart(first)
    try eventually("the old one has ended") { kill(worker, 0) != 0 || Self.isZombie(worker) }
    try caller.call("upper", request: 2)
    #expect(try caller.expect(.result).text == "new\n")
    #expect(second.stop() == 0)
    #expect(service.log().contains("worker is not wanted any more, it is told to end"))
  }

  @Test func aCallThatWaitedBeforeARestartHasAWorkerThatIsNew() throws {
    let service = try FakeService(configuration: "[server]\n")
    let first = try service.start()
    let caller = try RawPeer.waiting(for: service.folder.file("clients"))
    try caller.call("upper", request: 1, flags: .wait)
    try caller.barrier()
    Files.write(
      Self.worker("exec $HOSTCALL serve upper -- echo new").utf8, to: service.folder.file("hostcalld.toml"))
    let (second, _) = try service.restart(first)
    #expect(try caller.expect(.result).text == "new\n")
    #expect(second.stop() == 0)
  }

  @Test func whatAWorkerHasStartedGoesWithIt() throws {
    let folder = TemporaryFolder()
    let daemon = try DaemonProcess(
      configuration: Self.worker(
        "sleep 600 & echo $! > \(folder.file("sleeper")); $HOSTCALL serve upper -- cat", "stop-milliseconds = 3000"))
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("upper", request: 1)
    try caller.expect(.result)
    let text = String(decoding: Files.read(folder.file("sleeper")), as: UTF8.self)
    let sleeper = try #require(Int32(text.dropLast()))
    #expect(kill(sleeper, 0) == 0)
    #expect(daemon.stop() == 0)
    try eventually("it has ended") { kill(sleeper, 0) != 0 || Self.isZombie(sleeper) }
  }

  /// Whoever is the parent of the daemons' orphans may take its time.
  private static func isZombie(_ process: Int32) -> Bool {
    String(decoding: Files.read("/proc/\(process)/stat"), as: UTF8.self).contains(") Z ")
  }

  @Test func whatAServiceManagerSaysIsNotForWorkers() throws {
    let service = try FakeService(
      configuration: Self.worker("exec $HOSTCALL serve upper -- sh -c 'env; cat'"))
    let daemon = try service.start()
    let caller = try RawPeer.waiting(for: service.folder.file("clients"))
    try caller.call("upper", request: 1)
    let environment = try caller.expect(.result).text
    #expect(environment.contains("HOSTCALL_SOCKET=\(service.folder.file("clients"))\n"))
    #expect(!environment.contains("NOTIFY_SOCKET") && !environment.contains("LISTEN_"))
    #expect(daemon.stop() == 0)
  }
}

/// What a daemon does about workers on demand without a process of theirs.
@Suite("Workers on demand that are units, or not there", .timeLimit(.minutes(3)))
struct OnDemandUnitTests {
  @Test func aUnitIsWishedForByAFile() throws {
    let daemon = try DaemonProcess(
      configuration: """
        [[worker]]
        name = "the unit"
        functions = ["upper.*"]
        unit = "upper"
        """)
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("upper.case", request: 1, payload: [1])
    let wish = daemon.socketPath + ".wanted/upper"
    try eventually("the file is there") { access(wish, F_OK) == 0 }
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("upper.*")
    let invoke = try worker.expect(.invoke)
    try eventually("it is gone") { access(wish, F_OK) != 0 }
    try worker.complete(invoke.header.id)
    #expect(try caller.expect(.result).header.status == .ok)
    #expect(daemon.stop() == 0)
    #expect(access(daemon.socketPath + ".wanted", F_OK) != 0)
  }

  @Test func wishesOfADaemonThatWasKilledAreForgotten() throws {
    let service = try FakeService(
      configuration: "[[worker]]\nname = \"u\"\nfunctions = [\"upper\"]\nunit = \"upper\"\n")
    let wish = service.folder.file("clients") + ".wanted/upper"
    let first = try service.start()
    let caller = try RawPeer.waiting(for: service.folder.file("clients"))
    try caller.call("upper", request: 1)
    try eventually("the file is there") { access(wish, F_OK) == 0 }
    first.stop(signal: SIGKILL)
    let second = try service.start()
    #expect(access(wish, F_OK) != 0)
    #expect(second.stop() == 0)
  }

  @Test func aProgramThatIsNotThereIsSaidToBeSo() throws {
    let daemon = try DaemonProcess(
      configuration: """
        [[worker]]
        name = "gone"
        functions = ["upper"]
        command = ["/nowhere/worker"]
        first-delay-milliseconds = 0
        starts = 1
        """)
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("upper", request: 1)
    #expect(try caller.expect(.result).header.status == .unavailable)
    #expect(daemon.stop() == 0)
    #expect(daemon.standardError().contains("cannot start /nowhere/worker: no such file or directory"))
  }
}
