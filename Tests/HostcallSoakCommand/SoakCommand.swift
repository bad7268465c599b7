import ArgumentParser
import Glibc
import HostcallSoak

/// Runs a soak, or one of the programs that take part in one.
@main
struct SoakCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hostcall-soak", abstract: "Work that a daemon has to withstand.",
    subcommands: [
      RunCommand.self, FloodCommand.self, RestartCommand.self, CallCommand.self, ServeCommand.self, PressCommand.self,
    ],
    defaultSubcommand: RunCommand.self)
}

/// Set by a signal to stop, read between rounds.
nonisolated(unsafe) private var wasTold: sig_atomic_t = 0

/// `hostcall-soak CALLS SEED`: prints the ledger; exit status 0 where it balances.
struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "run", abstract: "Run a soak and print its ledger.")

  @Argument(help: "How many calls.")
  var calls = 1_000_000

  @Argument(help: "What the random numbers follow.")
  var seed: UInt64 = .random(in: 1...999_999_999)

  @Option(help: "How many turns there are between restarts of the daemon; without it none is restarted.")
  var turnsBetweenRestarts: Int?

  func run() async throws {
    // Whatever happens, what happened can be tried again.
    Self.say("soak: HOSTCALL_SEED=\(seed)")
    var options = Soak.Options()
    options.calls = calls
    options.seed = seed
    options.callsPerRound = 20_000
    options.turnsBetweenRestarts = turnsBetweenRestarts
    options.usualLargestBytes = 80_000
    options.programs = 4
    for number in [SIGINT, SIGTERM, SIGHUP] { signal(number) { _ in wasTold = 1 } }
    options.shouldStop = { wasTold != 0 }
    options.progress = { Self.say("soak: \($0)") }
    let report = try Soak(options).run()
    print(report)
    if !report.isBalanced { throw ExitCode.failure }
  }

  /// Says so at once, also into a pipe.
  static func say(_ text: String) {
    print(text)
    fflush(nil)
  }
}

/// `hostcall-soak flood`: prints what floods do to others; exit status 0 where all of it is within bounds.
struct FloodCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flood", abstract: "Flood a daemon in several ways, and see what others notice.")

  @Option(help: "How often each flood comes.")
  var rounds = 5

  @Argument(help: "Which floods: \(FloodKind.allCases.map(\.rawValue).joined(separator: ", ")). All if not said.")
  var floods: [FloodKind] = []

  func run() throws {
    var options = Floods.Options()
    options.rounds = rounds
    if !floods.isEmpty { options.kinds = floods }
    options.progress = { RunCommand.say("flood: \($0)") }
    let report = try Floods(options).run()
    print(report)
    if !report.isWithinBounds { throw ExitCode.failure }
  }
}

/// `hostcall-soak restart`: prints what calls notice of restarts and kills; exit status 0 where it is nothing but time.
struct RestartCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restart", abstract: "Restart a daemon under load, and kill it under load.")

  @Option(help: "How often the daemon hands over.")
  var restarts = 100

  @Option(help: "How often it is killed.")
  var kills = 20

  func validate() throws {
    if restarts < 1 || kills < 1 { throw ValidationError("--restarts and --kills are at least 1") }
  }

  func run() async throws {
    var restartOptions = Restarts.Options()
    restartOptions.restarts = restarts
    restartOptions.progress = { RunCommand.say("restart: \($0)") }
    let restarted = try Restarts(restartOptions).run()
    print(restarted)
    var killOptions = Kills.Options()
    killOptions.kills = kills
    killOptions.progress = { RunCommand.say("kill: \($0)") }
    let killed = try await Kills(killOptions).run()
    print(killed)
    if !restarted.violations.isEmpty || !killed.violations.isEmpty { throw ExitCode.failure }
  }
}

/// The flooding program.
struct PressCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "press", abstract: "Flood a daemon; for a flood.")

  @Option var socket: String
  @Option var flood: FloodKind
  @Option var count: Int

  func run() throws {
    try Flooder(socketPath: socket, kind: flood, count: count).run()
  }
}

extension FloodKind: ExpressibleByArgument {}

/// The calling program.
struct CallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "call", abstract: "Make calls; for a soak.")

  @Option var socket: String
  @Option var calls: Int
  @Option var number: UInt64

  func run() async throws {
    try await ProgramCaller(socketPath: socket, number: number).run(calls: calls)
  }
}

/// The serving program.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "serve", abstract: "Answer calls; for a soak.")

  @Option var socket: String

  func run() async throws {
    try await ProgramWorker.run(socketPath: socket)
  }
}
