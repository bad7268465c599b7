import ArgumentParser
import Glibc
import HostcallClient
import HostcallLoop
import HostcallWire

/// `hostcall serve`: a command as a host function.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Answer the calls of a function by running a command for each.",
    discussion: """
      The command reads the payload from its standard input; its standard output is the result. A status other than 0 \
      ends the call with FAILED and the last of its standard error, which also goes to this standard error. When a \
      call is cancelled or its time is up, the command and all that it started get SIGTERM, and SIGKILL after \
      the grace. What it leaves behind when it ends is killed.

      The command's environment has HOSTCALL_FUNCTION, HOSTCALL_CALL_ID, HOSTCALL_TIMEOUT_MS (what is left of the \
      time), HOSTCALL_ENCODING (of the payload), HOSTCALL_SOCKET, and the caller's metadata: trace-id is \
      HOSTCALL_META_TRACE_ID. Open files that came with the call are its descriptors 3, 4 and so on, HOSTCALL_FDS of \
      them.

      SIGTERM or SIGINT lets the calls that run end, and leaves; a second one ends them at once.

      Example:
        hostcall serve upper -- tr a-z A-Z
        hostcall serve 'image.*' --concurrency 4 -- ./image.sh --width 200
      """)

  @Argument(help: "A name such as image.resize, or a pattern such as image.*.")
  var name: String

  @Argument(
    parsing: .postTerminator,
    help: ArgumentHelp("After --: the command to run for each call, and its arguments.", valueName: "command"),
    completion: .file())
  var command: [String] = []

  @Option(help: ArgumentHelp("How many calls to run at once.", valueName: "number"))
  var concurrency = 1

  @Option(
    help: ArgumentHelp(
      "How to join others of that name: shared, exclusive (nobody else), or replace (take their new calls).",
      valueName: "mode"))
  var mode: RegistrationMode = .shared

  @Flag(help: "A call may run twice: it may go to another worker if this one is lost.")
  var idempotent = false

  @Option(help: ArgumentHelp("What the result's bytes are.", valueName: "encoding"))
  var encoding: PayloadEncoding = .raw

  @Option(
    help: ArgumentHelp("The longest that a call may run (default: the daemon's maximum).", valueName: "duration"),
    transform: DurationText.parse)
  var timeout: Duration?

  @Option(
    help: ArgumentHelp("How long a command has between SIGTERM and SIGKILL (default: 5s).", valueName: "duration"),
    transform: DurationText.parse)
  var grace: Duration = .seconds(5)

  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard NameRules.isName(name) || NameRules.isPattern(name) else {
      throw ValidationError(
        "“\(Diagnostics.oneLine(name))” is no name or pattern: letters, digits, _ and - in parts joined by dots, and "
          + "* as the last part of a pattern.")
    }
    guard (1...1_000_000).contains(concurrency) else {
      throw ValidationError("--concurrency must be from 1 to 1000000.")
    }
    guard !command.isEmpty else {
      throw ValidationError("Say after -- which command answers the calls: hostcall serve \(name) -- tr a-z A-Z")
    }
  }

  func run() async throws {
    let program = try ServedProgram(command, searchPath: getenv("PATH").map { String(cString: $0) })
    let processes = try Self.processes()
    let client = try await connection.connect(reconnect: .whenRegistered)
    let command = ServedCommand(
      program: program, resultEncoding: encoding, grace: grace, socketPath: client.socketPath, processes: processes)
    Interruption.handle { number in
      guard processes.beginLeaving() else {
        processes.killAll()
        Interruption.leave(number)
      }
      Diagnostics.note(Self.leaving(running: processes.count))
      Task { await client.shutdown() }
    }
    let watching = Task { [name] in await Self.report(client.connectionEvents, name) }
    try await client.register(
      name, concurrency: concurrency, mode: mode, timeout: timeout, idempotent: idempotent
    ) { request in
      try await command.answer(
        request, largestResultBytes: await client.serverInformation?.largestFrameBytes ?? 1 << 20)
    }
    Diagnostics.note("serving \(name) at \(client.socketPath)")
    let reason = await client.waitUntilClosed()
    await processes.waitUntilNoneIsLeft()
    watching.cancel()
    if let reason { throw reason }
  }

  private static func processes() throws(CommandFailure) -> ServedProcesses {
    do {
      return try ServedProcesses()
    } catch {
      throw CommandFailure(error.description, .refused)
    }
  }

  /// What is said at the first signal.
  static func leaving(running count: Int) -> String {
    switch count {
    case 0: "leaving"
    case 1: "leaving when the call that runs has ended (a second signal ends it at once)"
    default: "leaving when the \(count) calls that run have ended (a second signal ends them at once)"
    }
  }

  /// Says on standard error what becomes of the connection.
  private static func report(_ events: AsyncStream<HostcallConnectionEvent>, _ name: String) async {
    var isConnected = false
    for await event in events {
      switch event {
      case .connected where isConnected: Diagnostics.note("connected again; serving \(name)")
      case .connected: isConnected = true
      case .disconnected(let error): Diagnostics.note("\(error.description); connecting again")
      case .reconnectFailed, .subscriptionFailed: break
      case .registrationFailed(let error): Diagnostics.note("\(error.description); trying again")
      }
    }
  }
}
