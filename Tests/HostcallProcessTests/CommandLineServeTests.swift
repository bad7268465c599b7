import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// `hostcall serve` as a process: what its commands get, give, and how they end.
@Suite("hostcall serve as a process")
struct CommandLineServeTests {
  // MARK: What goes in and out

  @Test func aCommandIsAFunction() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("upper", script: "tr a-z A-Z")
    let outcome = try daemon.hostcall(["call", "upper", "hello"])
    #expect(outcome.status == 0)
    #expect(outcome.text == "HELLO")
    #expect(served.command.child.stop() == 0)
    #expect(served.command.errors == "hostcall: serving upper at \(daemon.socketPath)\nhostcall: leaving\n")
  }

  @Test func bytesGoThroughACommandAsTheyAre() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("copy", script: "cat")
    let bytes = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 17 &+ $0 >> 8) }
    let outcome = try daemon.hostcall(["call", "copy", "-"], input: bytes)
    #expect(outcome.status == 0)
    #expect(outcome.output == bytes)
    #expect(served.command.child.isRunning)
  }

  @Test func aCommandNeedNotReadItsInput() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("deaf", script: "exec <&-; echo done")
    let outcome = try daemon.hostcall(["call", "deaf", "-"], input: [UInt8](repeating: 1, count: 1 << 20))
    #expect(outcome.status == 0)
    #expect(outcome.text == "done\n")
    #expect(served.command.child.isRunning)
  }

  @Test func theCallIsInTheEnvironment() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve(
      "about.*",
      script: "echo $HOSTCALL_FUNCTION $HOSTCALL_CALL_ID $HOSTCALL_TIMEOUT_MS $HOSTCALL_ENCODING "
        + "$HOSTCALL_META_TRACE_ID; \(ChildProcess.productsFolder)/hostcall call hostcall.echo nested")
    let arguments = ["call", "about.me", "--timeout", "20s", "--encoding", "cbor", "--meta", "trace-id=7"]
    let words = try daemon.hostcall(arguments).text.split(whereSeparator: \.isWhitespace)
    try #require(words.count == 6)
    #expect(words[0] == "about.me")
    #expect((UInt64(words[1]) ?? 0) > 0)
    #expect((1...20_000).contains(Int(words[2]) ?? 0))
    #expect(words[3...] == ["cbor", "7", "nested"])
    #expect(served.command.child.isRunning)
  }

  @Test func aCallWaitsForItsFunctionToCome() throws {
    let daemon = try DaemonProcess()
    let waiting = try daemon.start(["call", "late", "x", "--wait"])
    try eventually("the call waits") { try daemon.hostcall(["calls"]).text.contains("late      queued") }
    let served = try daemon.serve("late", script: "cat; echo ' came'")
    #expect(waiting.child.wait() == 0)
    #expect(waiting.output == "x came\n")
    #expect(served.command.child.isRunning)
  }

  @Test func aCallWithoutReplyWaitsForNoResult() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("note")
    let outcome = try daemon.hostcall(["call", "note", "this", "--no-reply"])
    #expect(outcome.status == 0)
    #expect(outcome.output == [])
    #expect(try worker.expect(.invoke).payload == Array("this".utf8))
  }

  @Test func aCallWithoutReplyIsNotCancelledWhenItsCallerLeaves() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("note")
    #expect(try daemon.hostcall(["call", "note", "this", "--no-reply"]).status == 0)
    try worker.expect(.invoke)
    try eventually("the daemon has seen the caller leave") {
      // The one that is left is the one that asks.
      try daemon.hostcall(["peers"]).text.components(separatedBy: "  hostcall/").count == 2
    }
    try worker.send(FrameHeader(kind: .ping, id: 0xbabe))
    try worker.expect(.pong)
  }

  @Test func concurrencyRunsCommandsAtOnce() throws {
    let daemon = try DaemonProcess()
    // Each ends when it sees the other.
    let served = try daemon.serve(
      "pair", ["--concurrency", "2"],
      script: "echo >>$MARKS here; until [ $(grep -c here $MARKS) = 2 ]; do :; done; echo together")
    let calls = try (1...2).map { _ in try daemon.start(["call", "pair"]) }
    for call in calls {
      #expect(call.child.wait() == 0)
      #expect(call.output == "together\n")
    }
    #expect(served.command.child.isRunning)
  }

  // MARK: Failures

  @Test func aFailingCommandGivesTheLastOfItsErrors() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("fails", script: "echo not this; echo oh no >&2; echo it broke >&2; exit 3")
    let outcome = try daemon.hostcall(["call", "fails"])
    #expect(outcome.status == 1)
    #expect(outcome.output == [])
    let expected = #/hostcall: fails: FAILED from the worker: oh no \| it broke \(call [0-9]+\)\n/#
    #expect(outcome.errors.wholeMatch(of: expected) != nil, "\(outcome.errors)")
    #expect(served.command.errors.hasSuffix("\noh no\nit broke\n"))
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("fails", request: 1)
    #expect(try caller.expect(.result).metadata["exit-status"] == "3")
  }

  @Test func aCommandThatFailsInSilenceSaysHow() throws {
    let daemon = try DaemonProcess()
    let status = try daemon.serve("status", script: "exit 7")
    let signal = try daemon.serve("signal", script: "kill -9 $$")
    #expect(try daemon.hostcall(["call", "status"]).errors.contains("from the worker: sh exited with status 7 (call"))
    #expect(try daemon.hostcall(["call", "signal"]).errors.contains("from the worker: sh was ended by signal 9 (call"))
    #expect(status.command.child.isRunning && signal.command.child.isRunning)
  }

  @Test func aCommandHasTheUsualSignals() throws {
    let daemon = try DaemonProcess()
    // `serve` ignores it itself.
    let served = try daemon.serve("signals", script: "kill -PIPE $$; echo still here")
    let outcome = try daemon.hostcall(["call", "signals"])
    #expect(outcome.errors.contains("from the worker: sh was ended by signal 13 (call"), "\(outcome.errors)")
    #expect(served.command.child.isRunning)
  }

  @Test func whatCannotBeStartedIsAFailureThatSaysWhy() throws {
    let daemon = try DaemonProcess()
    let folder = TemporaryFolder()
    let script = folder.file("script")
    Files.write(Array("exit 0\n".utf8), to: script)
    #expect(chmod(script, 0o700) == 0)
    let served = try StartedCommand(daemon, ["serve", "broken", "--", script])
    let reason = "broken: FAILED from the worker: cannot run \(script): exec format error (a script begins with a line"
    #expect(try daemon.hostcall(["call", "broken", "--wait"]).errors.contains(reason))
    unlink(script)
    let gone = "broken: FAILED from the worker: cannot run \(script): no such file or directory (call"
    #expect(try daemon.hostcall(["call", "broken"]).errors.contains(gone))
    #expect(served.child.stop() == 0)
  }

  @Test func servingLeavesNoDescriptorOpen() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("copy", ["--concurrency", "4"], script: "cat")
    func open() -> Int { Files.count(in: "/proc/\(served.command.child.processID)/fd") }
    #expect(try daemon.hostcall(["call", "copy", "first"]).text == "first")
    let atFirst = open()
    for _ in 1...5 {
      let calls = try (1...10).map { try daemon.start(["call", "copy", "\($0)"]) }
      for call in calls { #expect(call.child.wait() == 0) }
    }
    try eventually("everything is closed") { open() <= atFirst }
  }

  @Test func outputAboveTheLimitIsAnErrorAndEndsTheCommand() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\nframe-bytes = 4096\n")
    let served = try daemon.serve("endless", script: "echo $$ >>$MARKS; exec yes")
    let outcome = try daemon.hostcall(["call", "endless", "-"], input: [UInt8](repeating: 1, count: 4_000))
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains("the output of sh is larger than 4096 bytes"), "\(outcome.errors)")
    for processID in try served.processIDs(1) { #expect(hasEnded(processID)) }
    #expect(served.command.child.isRunning)
  }

  @Test func aNameThatSomebodyHasIsRefused() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("taken", script: "cat")
    let outcome = try daemon.hostcall(["serve", "taken", "--mode", "exclusive", "--", "cat"])
    #expect(outcome.status == 5)
    #expect(outcome.errors.hasPrefix("hostcall: taken: ALREADY_REGISTERED from the daemon: "), "\(outcome.errors)")
    #expect(served.command.child.isRunning)
  }

  // MARK: Ends

  private static let obedient = "trap 'echo terminated >>$MARKS; exit 1' TERM; echo started >>$MARKS; sleep 60 & wait"

  @Test func interruptingACallTerminatesTheCommand() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("slow", script: Self.obedient)
    let call = try daemon.start(["call", "slow"])
    try served.marks(1)
    call.signal(SIGINT)
    #expect(call.child.wait() == 130)
    #expect(call.errors.hasPrefix("hostcall: slow: CANCELLED from the daemon: "), "\(call.errors)")
    #expect(try served.marks(2) == ["started", "terminated"])
  }

  @Test func aCallThatTimesOutTerminatesTheCommand() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("slow", script: Self.obedient)
    #expect(try daemon.hostcall(["call", "slow", "--timeout", "1s"]).status == 3)
    #expect(try served.marks(2) == ["started", "terminated"])
  }

  @Test func aReaderOfErrorsThatDoesNotReadKeepsNoCallFromItsEnd() throws {
    let daemon = try DaemonProcess()
    let folder = TemporaryFolder()
    let unread = folder.file("unread")
    #expect(mkfifo(unread, 0o600) == 0)
    let reader = open(unread, O_RDWR)
    defer { close(reader) }
    let served = try ChildProcess(
      "hostcall", ["serve", "talker", "--", "sh", "-c", "exec yes >&2"],
      environment: ["HOSTCALL_SOCKET": daemon.socketPath], errors: unread)
    // The second one finds the place free again.
    for _ in 1...2 {
      #expect(try daemon.hostcall(["call", "talker", "--wait", "--timeout", "1s"]).status == 3)
    }
    try eventually("no call is left") { try daemon.hostcall(["functions", "--json"]).text.contains(#""running":0"#) }
    #expect(served.stop() == 0)
  }

  @Test func aCommandThatIgnoresTheSignalIsKilledWithAllItsProcesses() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve(
      "stubborn", ["--grace", "50ms"],
      script: "trap '' TERM; echo $$ >>$MARKS; sleep 60 & echo $! >>$MARKS; wait; sleep 60")
    let call = try daemon.start(["call", "stubborn"])
    let processIDs = try served.processIDs(2)
    call.signal(SIGINT)
    #expect(call.child.wait() == 130)
    for processID in processIDs { try eventually("\(processID) is killed") { hasEnded(processID) } }
    // The place that it held is free again.
    let next = try daemon.start(["call", "stubborn"])
    try served.marks(4)
    #expect(next.child.isRunning)
  }

  @Test func aWorkerKilledInMidCallIsToldToTheCallerAtOnceAndIdempotentCallsMoveOn() throws {
    let daemon = try DaemonProcess()
    let first = try daemon.serve("work", ["--concurrency", "2"], script: "echo $$ >>$MARKS; exec sleep 60")
    let plain = try daemon.start(["call", "work"])
    let repeatable = try daemon.start(["call", "work", "--idempotent"])
    let commands = try first.processIDs(2)
    let second = try daemon.serve("work", script: "echo survived")
    first.command.signal(SIGKILL)
    #expect(plain.child.wait() == 5)
    #expect(
      plain.errors.contains("work: WORKER_LOST from the daemon: its worker went away while it may have been running"),
      "\(plain.errors)")
    #expect(repeatable.child.wait() == 0)
    #expect(repeatable.output == "survived\n")
    // Nobody is left to end what the killed worker ran.
    for command in commands { kill(command, SIGKILL) }
    #expect(second.command.child.isRunning)
  }

  @Test func whatACommandLeavesBehindIsEndedWithIt() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("leaver", script: "sleep 60 & echo $! >>$MARKS; echo done")
    let outcome = try daemon.hostcall(["call", "leaver"])
    #expect(outcome.text == "done\n")
    for processID in try served.processIDs(1) { try eventually("\(processID) is killed") { hasEnded(processID) } }
  }

  @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
  func theFirstSignalLetsWhatRunsEnd(_ signal: Int32) throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve(
      "patient", script: "echo started >>$MARKS; until [ -e $MARKS.go ]; do sleep 0.01; done; echo $MARKS.go")
    let call = try daemon.start(["call", "patient"])
    try served.marks(1)
    served.command.signal(signal)
    try eventually("it says so") { served.command.errors.contains("leaving when the call that runs has ended") }
    // Nobody else is served any more.
    try eventually("it takes no more") { try daemon.hostcall(["call", "patient", "--timeout", "10s"]).status == 4 }
    _ = FileManager.default.createFile(atPath: served.marksFile + ".go", contents: nil)
    #expect(call.child.wait() == 0)
    #expect(call.output == served.marksFile + ".go\n")
    #expect(served.command.child.wait() == 0)
  }

  @Test func theSecondSignalEndsEverythingAtOnce() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("stubborn", script: "trap '' TERM; echo $$ >>$MARKS; sleep 60; sleep 60")
    let call = try daemon.start(["call", "stubborn"])
    let processIDs = try served.processIDs(1)
    served.command.signal(SIGTERM)
    try eventually("it says so") { served.command.errors.contains("leaving") }
    served.command.signal(SIGINT)
    #expect(served.command.child.wait() == 130)
    #expect(call.child.wait() == 5)
    #expect(call.errors.contains("WORKER_LOST"), "\(call.errors)")
    for processID in processIDs { try eventually("\(processID) is killed") { hasEnded(processID) } }
  }

  @Test func itComesBackWithTheDaemon() throws {
    let daemon = try DaemonProcess()
    let path = daemon.folder + "/restarted"
    let first = try ChildProcess("hostcalld", ["--socket", path])
    _ = try RawPeer.waiting(for: path)
    let served = try daemon.serve("copy", ["--socket", path], script: "cat")
    #expect(try daemon.hostcall(["call", "copy", "1", "--socket", path]).text == "1")
    first.stop(signal: SIGKILL)
    try eventually("the loss is seen") { served.command.errors.contains("was lost") }
    let second = try ChildProcess("hostcalld", ["--socket", path])
    _ = try RawPeer.waiting(for: path)
    #expect(try daemon.hostcall(["call", "copy", "2", "--wait", "--socket", path]).text == "2")
    #expect(served.command.errors.contains("hostcall: connected again; serving copy\n"))
    #expect(served.command.child.stop() == 0)
    #expect(second.stop() == 0)
  }
}
