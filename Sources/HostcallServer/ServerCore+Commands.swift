import Glibc
import HostcallBridge
import HostcallLoop

/// Workers that run as processes of this one's.
///
/// A file beside the socket tells who they are. So the next process of the daemon goes on with them, whether this one has
/// handed over or was killed.
extension ServerCore {
  /// A process that serves as a worker, as the file has it.
  private struct Command {
    var worker = ""
    var command: [String] = []
    var processID: Int32 = 0
    var startTicks: UInt64 = 0

    mutating func code(_ coder: inout StateCoder) throws(StateError) {
      try coder.code(&worker)
      try coder.code(&command, of: "") { (coder, text) throws(StateError) in try coder.code(&text) }
      try coder.code(&processID)
      try coder.code(&startTicks)
    }
  }

  /// What a killed process may take until its end is told of, in milliseconds.
  private static let killMilliseconds: UInt64 = 1_000

  var hasCommands: Bool { !commands.isEmpty || !retired.isEmpty }

  /// How long commands may take to end, in milliseconds.
  var stopMilliseconds: UInt64 {
    hasCommands ? UInt64(supervision.workers.map(\.stopMilliseconds).max() ?? 0) + Self.killMilliseconds : 0
  }

  // MARK: Starting

  func start(_ worker: Int, _ command: [String]) {
    do throws(LoopError) {
      let process = try LoopProcess(
        loop, starting: command, environment: Self.environment(socketPath: clientsPath ?? configuration.socketPath)
      ) { [unowned self] status in assumeIsolated { $0.hasEnded(worker, status) } }
      commands[worker] = process
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
    guard let process = commands.removeValue(forKey: worker) else { return }
    report(
      .notice, "worker has ended",
      describe(worker) + [("pid", "\(process.processID)")] + (status.map { [("status", "\($0)")] } ?? []))
    writeCommands()
    supervision.hasEnded(worker, isWanted: phase == .serving && bridge.isWanted(worker), now: nowMilliseconds)
    takeSteps()
  }

  // MARK: Ending

  /// Tells all commands to end, and kills those that do not.
  func endCommands() {
    send(signal: SIGTERM)
    guard hasCommands else { return }
    let timer = LoopTimer(loop) { [unowned self] in assumeIsolated { $0.killCommands() } }
    commandTimer = timer
    timer.schedule(afterMilliseconds: stopMilliseconds - Self.killMilliseconds)
  }

  /// Kills all commands; what does not even end then is not waited for.
  func killCommands() {
    send(signal: SIGKILL)
    guard hasCommands else { return }
    let timer = LoopTimer(loop) { [unowned self] in
      assumeIsolated {
        $0.commands = [:]
        $0.retired = [:]
      }
    }
    commandTimer = timer
    timer.schedule(afterMilliseconds: Self.killMilliseconds)
  }

  private func send(signal: Int32) {
    for process in Array(commands.values) + retired.values { process.send(signal: signal) }
  }

  // MARK: From one process to the next

  private var commandsFile: String? { placeBeside(".workers") }

  /// Writes down who runs, for the next process.
  private func writeCommands() {
    guard let path = commandsFile else { return }
    if commands.isEmpty {
      unlink(path)
      return
    }
    var running = commands.sorted { $0.key < $1.key }.map { worker, process in
      let plan = supervision.workers[worker]
      let command = if case .command(let command) = plan.launch { command } else { [String]() }
      return Command(
        worker: plan.name, command: command, processID: process.processID, startTicks: process.startTicks)
    }
    do {
      var coder = StateCoder()
      try coder.code(&running, of: Command()) { (coder, command) throws(StateError) in try command.code(&coder) }
      try PrivateFiles.write(HandedOver.sealed(coder.bytes), to: path)
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
    var found: [Command] = []
    do throws(StateError) {
      var coder = StateCoder(reading: try HandedOver.opened(bytes), descriptors: [])
      try coder.code(&found, of: Command()) { (coder, command) throws(StateError) in try command.code(&coder) }
    } catch {
      report(.warning, "workers of the last process are not known", [("error", "\(path): \(error)")])
    }
    for command in found { adopt(command) }
    writeCommands()
  }

  private func adopt(_ command: Command) {
    let worker = supervision.workers.firstIndex {
      $0.name == command.worker && $0.launch == .command(command.command)
    }
    if let worker, commands[worker] == nil {
      commands[worker] = try? LoopProcess(loop, adopting: command.processID, startTicks: command.startTicks) {
        [unowned self] status in assumeIsolated { $0.hasEnded(worker, status) }
      }
      if commands[worker] != nil { supervision.isAdopted(worker, now: nowMilliseconds) }
    } else {
      retire(command)
    }
  }

  private func retire(_ command: Command) {
    let processID = command.processID
    let process = try? LoopProcess(loop, adopting: processID, startTicks: command.startTicks) { [unowned self] _ in
      assumeIsolated { $0.retired[processID] = nil }
    }
    guard let process else { return }
    retired[processID] = process
    report(
      .notice, "worker is not wanted any more, it is told to end",
      [("worker", command.worker), ("pid", "\(processID)")])
    process.send(signal: SIGTERM)
    let timer = LoopTimer(loop) { [unowned self] in
      assumeIsolated { $0.retired[processID]?.send(signal: SIGKILL) }
    }
    timer.schedule(afterMilliseconds: UInt64(OnDemandWorker.usualStopMilliseconds))
  }
}
