import Glibc
import HostcallBridge
import HostcallLoop

/// Workers that run as processes of this one's.
///
/// A file beside the socket tells who they are. So the next process of the daemon goes on with them, whether this one has
/// handed over or was killed.
extension ServerCore {
  /// What a killed process may take until its end is told of, in milliseconds.
  private static let killMilliseconds: UInt64 = 1_000

  private var running: [RunningCommand] { Array(commands.values) + retired.values }
  var hasCommands: Bool { !commands.isEmpty || !retired.isEmpty }

  /// How long commands may take to end, in milliseconds: those that do not are killed before it is over.
  var stopMilliseconds: UInt64 {
    running.map { UInt64($0.command.stopMilliseconds) }.max().map { $0 + Self.killMilliseconds } ?? 0
  }

  // MARK: Starting

  func start(_ worker: Int, _ words: [String]) {
    do throws(LoopError) {
      let process = try LoopProcess(
        loop, starting: words, environment: Self.environment(socketPath: clientsPath ?? configuration.socketPath)
      ) { [unowned self] status in assumeIsolated { $0.hasEnded(worker, status) } }
      let plan = supervision.workers[worker]
      let command = StartedCommand(
        worker: plan.name, words: words, stopMilliseconds: UInt32(plan.stopMilliseconds),
        processID: process.processID, startTicks: process.startTicks)
      commands[worker] = RunningCommand(command: command, process: process)
      report(.info, "worker started", describe(worker) + [("pid", "\(process.processID)")])
      writeCommands()
    } catch {
      report(.error, "worker not started", describe(worker) + [("error", error.description)])
      supervision.hasEnded(worker, isWanted: bridge.isWanted(worker), now: nowMilliseconds)
    }
  }

  /// What a service manager has told this process is not meant for others.
  private static func environment(socketPath: String?) -> [String: String?] {
    var changes: [String: String?] = ["HOSTCALL_SOCKET": socketPath]
    for name in [
      "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "FDSTORE",
    ] { changes.updateValue(nil, forKey: name) }
    return changes
  }

  private func hasEnded(_ worker: Int, _ status: Int32?) {
    guard let ended = commands.removeValue(forKey: worker) else { return }
    report(
      .notice, "worker has ended",
      describe(worker) + [("pid", "\(ended.command.processID)")] + (status.map { [("status", "\($0)")] } ?? []))
    writeCommands()
    supervision.hasEnded(worker, isWanted: phase == .serving && bridge.isWanted(worker), now: nowMilliseconds)
    takeSteps()
  }

  // MARK: Ending

  /// Tells all commands to end, and kills those that do not.
  func endCommands() {
    guard hasCommands else { return }
    for running in running { running.process.send(signal: SIGTERM) }
    scheduleForCommands(stopMilliseconds - Self.killMilliseconds) { $0.killCommands() }
  }

  /// Kills all commands; what does not even end then is not waited for.
  func killCommands() {
    guard hasCommands else { return }
    for running in running { running.process.send(signal: SIGKILL) }
    scheduleForCommands(Self.killMilliseconds) {
      $0.commands = [:]
      $0.retired = [:]
    }
  }

  /// Has something done about commands later, in the place of what was to be done.
  private func scheduleForCommands(_ milliseconds: UInt64, _ body: @escaping @Sendable (isolated ServerCore) -> Void) {
    commandTimer?.close()
    let timer = LoopTimer(loop) { [unowned self] in assumeIsolated { body($0) } }
    commandTimer = timer
    timer.schedule(afterMilliseconds: milliseconds)
  }

  // MARK: From one process to the next

  private var commandsFile: String? { placeBeside(".workers") }

  /// Writes down who runs, for the next process.
  private func writeCommands() {
    guard let path = commandsFile else { return }
    guard hasCommands else {
      unlink(path)
      return
    }
    var written = running.map(\.command).sorted { $0.processID < $1.processID }
    do {
      var coder = StateCoder()
      try StartedCommand.code(&written, &coder)
      try PrivateFiles.write(StartedCommand.envelope.sealed(coder.bytes), to: path)
    } catch {
      report(
        .warning, "the next process will not know of the workers that this one has started", [("error", "\(error)")])
    }
  }

  /// Goes on with the workers that an earlier process has started, and ends those that the configuration does not have any
  /// more, or has otherwise. Before any is started.
  func adoptCommands() {
    guard let path = commandsFile else { return }
    let bytes = PrivateFiles.read(path)
    if bytes.isEmpty { return }
    var found: [StartedCommand] = []
    do throws(StateError) {
      var coder = StateCoder(reading: try StartedCommand.envelope.opened(bytes), descriptors: [])
      try StartedCommand.code(&found, &coder)
    } catch {
      report(.warning, "workers of the last process are not known", [("error", "\(path): \(error)")])
    }
    for command in found { adopt(command) }
    writeCommands()
    guard let longest = retired.values.map(\.command.stopMilliseconds).max() else { return }
    scheduleForCommands(UInt64(longest)) { core in
      for retired in core.retired.values { retired.process.send(signal: SIGKILL) }
    }
  }

  private func adopt(_ command: StartedCommand) {
    let processID = command.processID
    let worker = supervision.workers.firstIndex { $0.name == command.worker && $0.launch == .command(command.words) }
    if let worker, commands[worker] == nil {
      guard let process = process(of: command, onEnd: { $0.hasEnded(worker, $1) }) else { return }
      commands[worker] = RunningCommand(command: command, process: process)
      supervision.isAdopted(worker, now: nowMilliseconds)
    } else {
      guard let process = process(of: command, onEnd: { core, _ in core.retiredHasEnded(processID) }) else { return }
      retired[processID] = RunningCommand(command: command, process: process)
      report(
        .notice, "worker is not wanted any more, it is told to end",
        [("worker", command.worker), ("pid", "\(processID)")])
      process.send(signal: SIGTERM)
    }
  }

  /// The process of a command that an earlier daemon has started; nil where it has ended.
  private func process(
    of command: StartedCommand, onEnd: @escaping @Sendable (isolated ServerCore, Int32?) -> Void
  ) -> LoopProcess? {
    try? LoopProcess(loop, adopting: command.processID, startTicks: command.startTicks) { [unowned self] status in
      assumeIsolated { onEnd($0, status) }
    }
  }

  private func retiredHasEnded(_ processID: Int32) {
    retired[processID] = nil
    writeCommands()
  }
}
