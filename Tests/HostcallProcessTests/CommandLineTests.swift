import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// `hostcall` as a process: calls, exit statuses, reports.
@Suite("hostcall as a process")
struct CommandLineTests {
  /// Every byte, NUL and invalid UTF-8 among them, a mebibyte in all.
  private static let binary = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

  // MARK: Bytes

  @Test func bytesOfAFileComeBackAsTheyWere() throws {
    let daemon = try DaemonProcess()
    let file = daemon.folder + "/payload"
    try Data(Self.binary).write(to: URL(fileURLWithPath: file))
    let outcome = try daemon.hostcall(["call", "hostcall.echo", "@\(file)"])
    #expect(outcome.status == 0)
    #expect(outcome.output == Self.binary)
    #expect(outcome.errors == "")
  }

  @Test func bytesOfStandardInputComeBackAsTheyWere() throws {
    let daemon = try DaemonProcess()
    let outcome = try daemon.hostcall(["call", "hostcall.echo", "-"], input: Self.binary)
    #expect(outcome.status == 0)
    #expect(outcome.output == Self.binary)
  }

  @Test func nothingIsAddedAndNothingIsNothing() throws {
    let daemon = try DaemonProcess()
    #expect(try daemon.hostcall(["call", "hostcall.echo", "hi"]).output == Array("hi".utf8))
    #expect(try daemon.hostcall(["call", "hostcall.echo"]).output == [])
    #expect(try daemon.hostcall(["call", "hostcall.echo", "-"]).output == [])
    #expect(try daemon.hostcall(["call", "hostcall.echo", "--", "-5"]).output == Array("-5".utf8))
  }

  @Test func aPayloadAboveTheDaemonsLimitIsRefusedWithoutReadingAllOfIt() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\nframe-bytes = 4096\n")
    let outcome = try daemon.hostcall(["call", "hostcall.echo", "@/dev/zero"])
    #expect(outcome.status == 5)
    #expect(
      outcome.errors
        == "hostcall: hostcall.echo: TOO_LARGE: the payload is larger than 4 KiB, the most that the daemon takes\n")
    // The name needs room in the frame too.
    let close = try daemon.hostcall(["call", "hostcall.echo", "-"], input: [UInt8](repeating: 1, count: 4_096))
    #expect(close.status == 5)
    #expect(close.errors.contains("TOO_LARGE: the call has 4109 bytes"), "\(close.errors)")
  }

  // MARK: Exit statuses

  @Test func nobodyHasTheFunctionIs4() throws {
    let outcome = try DaemonProcess().hostcall(["call", "no.such"])
    #expect(outcome.status == 4)
    #expect(outcome.errors == "hostcall: no.such: NOT_FOUND from the daemon: nobody has registered it\n")
    #expect(outcome.output == [])
  }

  @Test func noOutcomeInTimeIs3() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("stuck")
    let outcome = try daemon.hostcall(["call", "stuck", "--timeout", "1s"])
    #expect(outcome.status == 3)
    // The daemon is told what is left of the second when the call is written.
    let expected = #/hostcall: stuck: TIMEOUT from the daemon: no outcome within [0-9]+ ms \(call [0-9]+\)\n/#
    #expect(outcome.errors.wholeMatch(of: expected) != nil, "\(outcome.errors)")
  }

  @Test func waitingForAFunctionThatNeverComesIs3() throws {
    let outcome = try DaemonProcess().hostcall(["call", "no.such", "--wait", "--timeout", "50ms"])
    #expect(outcome.status == 3, "\(outcome.errors)")
  }

  @Test func aDaemonThatIsNotThereIs2InOneLine() throws {
    let daemon = try DaemonProcess()
    let missing = daemon.folder + "/none"
    for arguments in [
      ["call", "x"], ["serve", "x", "--", "cat"], ["publish", "x"], ["watch", "x"], ["functions"], ["info", "--json"],
      ["ping"], ["bench"],
    ] {
      let subcommand = arguments[0]
      let outcome = try daemon.hostcall([subcommand, "--socket", missing] + arguments.dropFirst())
      #expect(outcome.status == 2, "\(subcommand)")
      #expect(
        outcome.errors
          == "hostcall: cannot reach hostcalld at \(missing): no such file or directory (start it with: hostcalld, or "
          + "set HOSTCALL_SOCKET)\n")
      #expect(outcome.output == [])
    }
  }

  @Test func aDaemonThatDiesUnderACallIs2() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("stuck")
    let call = try daemon.start(["call", "stuck"])
    try worker.expect(.invoke)
    daemon.stop(signal: SIGKILL)
    #expect(call.child.wait() == 2)
    #expect(call.errors.contains("the connection to hostcalld at \(daemon.socketPath) was lost"), "\(call.errors)")
  }

  @Test func aStatusOfTheWorkersOwnIs1() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("odd")
    let call = try daemon.start(["call", "odd"])
    let invoke = try worker.expect(.invoke)
    try worker.complete(invoke.header.id, status: Status(rawValue: 200), payload: Array("odd\nindeed\u{1b}[1m".utf8))
    #expect(call.child.wait() == 1)
    #expect(
      call.errors
        == "hostcall: odd: STATUS_200 from the worker: odd | indeed?[1m (call \(invoke.header.id))\n")
  }

  @Test(arguments: [
    ["call", "x", "--timeout", "5"], ["call"], ["call", "a..b"], ["call", "x", "--meta", "a"], ["serve", "x"],
    ["serve", "x", "--", "no-such-command-anywhere"], ["serve", "x", "--", "/etc/passwd"], ["frobnicate"],
    ["ping", "--count", "many"],
  ])
  func wrongArgumentsAre64(_ arguments: [String]) throws {
    let outcome = try DaemonProcess().hostcall(arguments)
    #expect(outcome.status == 64)
    #expect(!outcome.errors.isEmpty)
    #expect(outcome.output == [])
  }

  @Test func inputThatCannotBeReadIs66() throws {
    let daemon = try DaemonProcess()
    let outcome = try daemon.hostcall(["call", "hostcall.echo", "@/no/such"])
    #expect(outcome.status == 66)
    #expect(outcome.errors == "hostcall: cannot read /no/such: no such file or directory\n")
    #expect(try daemon.hostcall(["call", "hostcall.echo", "@/tmp"]).status == 66)
    let closed = try daemon.shell("exec \"$HOSTCALL\" call hostcall.echo - <&-")
    #expect(closed.status == 66, "\(closed.errors)")
  }

  @Test func outputThatNobodyTakesIsNoCrash() throws {
    let daemon = try DaemonProcess()
    let full = try daemon.shell("exec \"$HOSTCALL\" functions >/dev/full")
    #expect(full.status == 74)
    #expect(full.errors == "hostcall: cannot write to standard output: no space left on device\n")
    let closed = try daemon.shell("exec \"$HOSTCALL\" call hostcall.echo hi >&-")
    #expect(closed.status == 74)
    #expect(closed.errors == "hostcall: cannot write to standard output: bad file descriptor\n")
    let unread = try daemon.shell(
      "{ sleep 0; \"$HOSTCALL\" call hostcall.echo - </dev/null; head -c 1000000 /dev/zero | \"$HOSTCALL\" call "
        + "hostcall.echo -; echo $? >\"$STATUS\"; } | true; cat \"$STATUS\"")
    #expect(unread.text == "141\n", "\(unread.errors)")
    #expect(unread.errors == "")
  }

  // MARK: Reports

  @Test func reportsAreTablesForPeople() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("stuck")
    #expect(try daemon.hostcall(["calls"]).text == "no calls are in flight\n")
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("stuck", request: 1)
    let invoke = try worker.expect(.invoke)
    let calls = try daemon.hostcall(["calls"]).text.split(separator: "\n")
    #expect(calls.count == 2)
    #expect(calls.first?.contains("FUNCTION  STATE") == true)
    #expect(calls.last?.hasPrefix("\(invoke.header.id)  stuck     running") == true, "\(calls)")
    let functions = try daemon.hostcall(["functions"]).text
    #expect(functions.hasPrefix("FUNCTION            WORKERS  CONCURRENCY  RUNNING"), "\(functions)")
    #expect(functions.contains("\nstuck "))
    #expect(try daemon.hostcall(["peers"]).text.contains("  raw/1  "))
    #expect(try daemon.hostcall(["info"]).text.contains("\nsocket    \(daemon.socketPath)\n"))
    #expect(try daemon.hostcall(["stats"]).text.contains("\ncalls in flight"))
  }

  @Test func reportsAreJSONForScripts() throws {
    let daemon = try DaemonProcess()
    func report<Value: Decodable>(_ name: String, _ type: Value.Type) throws -> Value {
      let outcome = try daemon.hostcall([name, "--json"])
      #expect(outcome.status == 0)
      #expect(outcome.output.last == UInt8(ascii: "\n"))
      return try JSONDecoder().decode(type, from: Data(outcome.output))
    }
    #expect(try report("functions", [FunctionReport].self).contains { $0.name == "hostcall.echo" })
    #expect(try report("peers", [PeerReport].self).contains { $0.client == "hostcall/\(HostcallVersion.current)" })
    #expect(try report("calls", [CallReport].self).map(\.function) == ["hostcall.calls"])
    #expect(try report("info", InfoReport.self).processID == daemon.processID)
    #expect(try report("stats", StatsReport.self).callsAccepted == 5)
  }

  @Test func pingSaysHowLongItTook() throws {
    let daemon = try DaemonProcess()
    let once = try daemon.hostcall(["ping"]).text
    let expected = #/hostcalld/[0-9.]+ at \S+ answered after [0-9.]+ (µs|ms|s)\n/#
    #expect(once.wholeMatch(of: expected) != nil, "\(once)")
    let lines = try daemon.hostcall(["ping", "--count", "3"]).text.split(separator: "\n")
    #expect(lines.count == 4)
    #expect(lines.last?.hasPrefix("3 answers: fastest ") == true)
  }

  @Test func itExplainsItselfWithoutADaemon() throws {
    let daemon = try DaemonProcess()
    daemon.stop()
    #expect(try daemon.hostcall(["--version"]).text == "hostcall \(HostcallVersion.current)\n")
    for subcommand in [
      "call", "serve", "publish", "watch", "functions", "peers", "calls", "info", "stats", "ping", "bench",
    ] {
      let outcome = try daemon.hostcall([subcommand, "--help"])
      #expect(outcome.status == 0)
      #expect(outcome.text.contains("Example:"), "\(subcommand)")
    }
    for shell in ["bash", "zsh", "fish"] {
      let outcome = try daemon.hostcall(["--generate-completion-script", shell])
      #expect(outcome.status == 0)
      #expect(outcome.text.contains("functions"))
    }
  }

  @Test func aShellCanCompleteNamesOfFunctions() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("token.fetch")
    let script = try daemon.hostcall(["--generate-completion-script", "bash"]).text
    let file = daemon.folder + "/completion"
    try script.write(toFile: file, atomically: true, encoding: .utf8)
    let completed = try daemon.shell(
      """
      . \(file); PATH="$(dirname "$HOSTCALL"):$PATH"
      COMP_WORDS=(hostcall call tok); COMP_CWORD=2; COMP_LINE='hostcall call tok'; COMP_POINT=17
      _hostcall; echo "${COMPREPLY[@]}"
      """, shell: "/bin/bash")
    #expect(completed.text.contains("token.fetch"), "\(completed.errors)")
    #expect(!completed.text.contains("hostcall.echo"))
  }
}

extension DaemonProcess {
  /// Runs a shell script to its end; `$HOSTCALL` is the command, `$STATUS` a file for it to use.
  func shell(_ script: String, shell: String = "/bin/sh") throws -> Outcome {
    try run(
      shell, ["-c", script],
      environment: ["HOSTCALL": "\(ChildProcess.productsFolder)/hostcall", "STATUS": "\(folder)/status"])
  }
}
