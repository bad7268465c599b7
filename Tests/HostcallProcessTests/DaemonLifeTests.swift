import Glibc
import HostcallTestSupport
import HostcallWire
import Testing

/// How a real daemon starts, refuses to start, and ends.
@Suite("hostcalld as a process")
struct DaemonLifeTests {
  @Test func itPrintsItsVersionAndItsSettings() throws {
    let daemon = try DaemonProcess()
    #expect(try daemon.run("hostcalld", ["--version"]).output == Array("hostcalld 0.1.0\n".utf8))
    let settings = try daemon.run("hostcalld", ["--check-config", "--socket", "/tmp/x"])
    #expect(settings.status == 0)
    #expect(settings.text.contains("socket = \"/tmp/x\"\n"))
    #expect(settings.text.contains("queued-calls-per-function = 1024\n"))
    // What it prints is a configuration that says the same.
    let file = daemon.folder + "/printed.toml"
    Files.write(settings.output, to: file)
    #expect(try daemon.run("hostcalld", ["--check-config", "--config", file]).text == settings.text)
  }

  @Test(arguments: [
    ("[limits]\nconnections = 5\nconections = 6\n", "config.toml:3: unknown key limits.conections"),
    (
      "[limits]\nconnections = \"many\"\n", "config.toml:2: limits.connections must be a whole number from 1 to 1000000"
    ),
    ("[limits]\nresends = -1\n", "config.toml:2: limits.resends must be a whole number from 0 to 100"),
    ("[server]\nsocket-mode = \"888\"\n", "config.toml:2: server.socket-mode must be permissions in quotes"),
    ("[log]\n\nlevel = \"loud\"\n", "config.toml:3: log.level must be trace, debug"),
    ("[sever]\nsocket = \"/tmp/s\"\n", "config.toml:2: unknown key sever.socket (did you mean server.socket?)"),
    ("colour = 1\n", "config.toml:1: unknown key colour"),
    ("[limits\n", "config.toml:1: this is not TOML"),
  ])
  func aConfigurationThatCannotBeIsRefusedWithItsLine(_ text: String, _ expected: String) throws {
    let daemon = try DaemonProcess()
    let file = daemon.folder + "/config.toml"
    Files.write(text.utf8, to: file)
    let outcome = try daemon.run("hostcalld", ["--config", file, "--check-config"])
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains(expected), "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1)
  }

  @Test func whatIsInTheWayIsSaidInOneLine() throws {
    let daemon = try DaemonProcess()
    func refusal(_ arguments: [String]) throws -> String {
      let outcome = try daemon.run("hostcalld", arguments)
      #expect(outcome.status == 1)
      let lines = outcome.errors.split(separator: "\n").filter { !$0.hasPrefix("<") }
      #expect(lines.count == 1, "\(outcome.errors)")
      return String(lines.first ?? "")
    }
    let long = daemon.folder + "/" + String(repeating: "x", count: 120)
    #expect(try refusal(["--socket", long]).contains("107 are the most"))
    let missing = daemon.folder + "/no/such/s"
    #expect(
      try refusal(["--socket", missing])
        == "hostcalld: cannot listen on \(missing): no such file or directory (the folder \(daemon.folder)/no/such does not "
        + "exist: make it with mkdir -p \(daemon.folder)/no/such, or choose another path with --socket)")
    #expect(try refusal(["--socket", "/proc/s"]).contains("choose another path"))
    #expect(try refusal(["--socket", daemon.socketPath]).contains("another hostcalld is serving it"))
    #expect(try refusal(["--config", daemon.folder + "/none.toml"]).contains("no such file or directory"))
    let peer = try RawPeer(daemon.socketPath)
    try peer.barrier()
  }

  @Test func wrongArgumentsExit64() throws {
    let daemon = try DaemonProcess()
    for arguments in [["--sockte", "x"], ["extra"], ["--log-level", "loud"], ["--socket"]] {
      #expect(try daemon.run("hostcalld", arguments).status == 64, "\(arguments)")
    }
  }

  @Test func ofManyThatStartAtOnceExactlyOneServes() throws {
    let daemon = try DaemonProcess()
    let path = daemon.folder + "/contested"
    let starters = try (0..<8).map { _ in try ChildProcess("hostcalld", ["--socket", path]) }
    let deadline = ContinuousClock.now + .seconds(30)
    while starters.filter(\.isRunning).count > 1 { try #require(ContinuousClock.now < deadline) }
    #expect(starters.filter(\.isRunning).count == 1)
    try RawPeer.waiting(for: path).barrier()
    for starter in starters where starter.isRunning { #expect(starter.stop() == 0) }
    #expect(access(path, F_OK) != 0)
  }

  @Test func aDaemonThatWasKilledLeavesNothingInTheWay() throws {
    let daemon = try DaemonProcess()
    let path = daemon.folder + "/again"
    let first = try ChildProcess("hostcalld", ["--socket", path])
    try RawPeer.waiting(for: path).barrier()
    _ = first.stop(signal: SIGKILL)
    #expect(access(path, F_OK) == 0)
    let second = try ChildProcess("hostcalld", ["--socket", path])
    try RawPeer.waiting(for: path).barrier()
    #expect(second.stop() == 0)
  }

  @Test func theSocketIsForItsOwnerAloneUnlessToldOtherwise() throws {
    let daemon = try DaemonProcess()
    let open = try DaemonProcess(configuration: "[server]\nsocket-mode = \"0660\"\n")
    func mode(_ path: String) -> mode_t {
      var status = stat()
      lstat(path, &status)
      return status.st_mode & 0o777
    }
    #expect(mode(daemon.socketPath) == 0o600)
    #expect(mode(open.socketPath) == 0o660)
  }

  @Test func sigtermLetsRunningCallsEnd() throws {
    let daemon = try DaemonProcess()
    let (worker, caller, invoke) = try daemon.runningCall(of: "slow")
    kill(daemon.processID, SIGTERM)
    let goaway = try caller.expect(.goaway)
    #expect(goaway.header.status == .shuttingDown)
    #expect(goaway.header.timeoutMilliseconds == 10_000)
    try worker.expect(.goaway)
    try caller.call("slow", request: 2)
    #expect(try caller.expect(.result).header.status == .shuttingDown)
    try worker.complete(invoke.header.id, payload: [1])
    #expect(try caller.expect(.result).payload == [1])
    try caller.expectEnd()
    try worker.expectEnd()
    #expect(daemon.wait() == 0)
  }

  @Test func aSecondSignalDoesNotWait() throws {
    let daemon = try DaemonProcess()
    let (worker, caller, _) = try daemon.runningCall(of: "stuck")
    kill(daemon.processID, SIGINT)
    try caller.expect(.goaway)
    kill(daemon.processID, SIGTERM)
    let result = try caller.expect(.result)
    #expect(result.header.status == .shuttingDown)
    #expect(result.text == "stuck: the daemon shut down before there was an outcome")
    try caller.expectEnd()
    try worker.expect(.goaway)
    #expect(daemon.wait() == 0)
  }

  @Test func theGraceHasAnEnd() throws {
    let daemon = try DaemonProcess(configuration: "[server]\nshutdown-grace-milliseconds = 50\n")
    let (worker, caller, _) = try daemon.runningCall(of: "stuck")
    #expect(daemon.stop() == 0)
    try caller.expect(.goaway)
    #expect(try caller.expect(.result).header.status == .shuttingDown)
    try worker.expect(.goaway)
  }

  @Test func logsAreOneLineAnEventAndCannotBeForged() throws {
    let daemon = try DaemonProcess(arguments: ["--log-level", "debug"])
    let peer = try RawPeer(daemon.socketPath)
    try peer.send(FrameHeader(kind: .register, id: 1), name: "a\n<0>forged b=c")
    try peer.expect(.goaway)
    try peer.expectEnd()
    #expect(daemon.stop() == 0)
    let lines = daemon.standardError().split(separator: "\n")
    #expect(lines.allSatisfy { $0.hasPrefix("<5>") || $0.hasPrefix("<6>") || $0.hasPrefix("<7>") })
    #expect(lines.contains { $0.hasPrefix("<6>listening socket=") })
    #expect(lines.contains { $0.hasPrefix("<5>peer refused uid=\(getuid()) pid=\(getpid()) status=PROTOCOL reason=") })
    #expect(lines.last?.hasPrefix("<6>stopped") == true)
  }

  @Test func theEnvironmentSaysWhereToListen() throws {
    let daemon = try DaemonProcess()
    let runtime = daemon.folder + "/runtime"
    let user = daemon.folder + "/user"
    for folder in [runtime, user] { mkdir(folder, 0o700) }
    let cases: [([String: String], String)] = [
      (["XDG_RUNTIME_DIR": user], user + "/hostcall.sock"),
      (["XDG_RUNTIME_DIR": user, "RUNTIME_DIRECTORY": runtime], runtime + "/hostcall.sock"),
      (["HOSTCALL_SOCKET": user + "/mine", "RUNTIME_DIRECTORY": runtime], user + "/mine"),
    ]
    for (environment, path) in cases {
      let child = try ChildProcess("hostcalld", [], environment: environment)
      try RawPeer.waiting(for: path).barrier()
      #expect(child.stop() == 0)
    }
  }
}
