import Glibc
import HostcallBridge
import HostcallLoop
import HostcallWire

/// Workers that are started when calls wait for them: what ``Supervision`` decides is done here.
extension ServerCore {
  /// Whether there is anything to look after.
  var supervises: Bool { !supervision.workers.isEmpty }

  private var nowMilliseconds: UInt64 { loop.nowNanoseconds() / 1_000_000 }

  /// A turn is over: who is wanted is started, and who has been started is looked for.
  func superviseTurn() {
    guard phase == .serving else { return }
    let now = nowMilliseconds
    for worker in bridge.takeWanted() { supervision.isWanted(worker, now: now) }
    if supervision.isStarting {
      for worker in supervision.workers.indices where bridge.isServed(worker) {
        supervision.isServing(worker, now: now)
        forgetWish(worker)
      }
    }
    takeSteps()
  }

  private func takeSteps() {
    var steps = supervision.takeSteps()
    while !steps.isEmpty {
      for step in steps { take(step) }
      steps = supervision.takeSteps()
    }
    settle()
    armSupervisionTimer()
  }

  private func take(_ step: Supervision.Step) {
    let now = loop.nowNanoseconds()
    switch step {
    case .start(let worker): start(worker)
    case .end(let worker):
      report(
        .warning, "worker has not registered in time, it is ended",
        describe(worker) + [("milliseconds", "\(supervision.workers[worker].startMilliseconds)")])
      if let process = commands[worker] {
        process.send(signal: SIGKILL)
      } else {
        supervision.hasEnded(worker, isWanted: bridge.isWanted(worker), now: nowMilliseconds)
      }
    case .giveUp(let worker):
      let plan = supervision.workers[worker]
      forgetWish(worker)
      report(
        .error, "worker was started too often, calls do not wait for it for a while",
        describe(worker) + [("starts", "\(plan.starts)"), ("within-milliseconds", "\(plan.startsWithinMilliseconds)")])
      bridge.giveUp(worker, now: now, into: &actions)
    case .resume(let worker): bridge.resume(worker)
    }
  }

  private func armSupervisionTimer() {
    guard let wake = supervision.nextWake, wake < .max else { return }
    if let supervisionWake, supervisionWake <= wake { return }
    supervisionWake = wake
    let timer = supervisionTimer ?? LoopTimer(loop) { [unowned self] in assumeIsolated { $0.hitSupervisionTime() } }
    supervisionTimer = timer
    let now = nowMilliseconds
    timer.schedule(afterMilliseconds: wake > now ? wake - now : 0)
  }

  private func hitSupervisionTime() {
    supervisionWake = nil
    guard phase == .serving else { return }
    let now = nowMilliseconds
    let wanted = supervision.workers.indices.filter { bridge.isWanted($0) }
    for worker in supervision.workers.indices { if !wanted.contains(worker) { forgetWish(worker) } }
    supervision.hitTime(now: now) { wanted.contains($0) }
    takeSteps()
  }

  private func describe(_ worker: Int) -> [(key: String, value: String)] {
    [("worker", supervision.workers[worker].name)]
  }

  // MARK: Starting

  private func start(_ worker: Int) {
    switch supervision.workers[worker].launch {
    case .command(let command): start(worker, command)
    case .unit(let name): wish(worker, name)
    }
  }

  private func start(_ worker: Int, _ command: [String]) {
    do throws(LoopError) {
      let process = try LoopProcess(
        loop, starting: command, environment: Self.environment(socketPath: clientsPath ?? configuration.socketPath)
      ) { [unowned self] status in assumeIsolated { $0.hasEnded(worker, status) } }
      commands[worker] = process
      report(.info, "worker started", describe(worker) + [("pid", "\(process.processID)")])
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
    supervision.hasEnded(worker, isWanted: phase == .serving && bridge.isWanted(worker), now: nowMilliseconds)
    takeSteps()
  }

  /// Goes on with workers that an earlier process has started.
  func adopt(_ inherited: [HandedOver.Command]) {
    for command in inherited {
      guard let worker = supervision.workers.firstIndex(where: { $0.name == command.worker }), commands[worker] == nil
      else {
        // Nobody wants it any more.
        (try? LoopProcess(loop, adopting: command.processID, startTicks: command.startTicks) { _ in })?
          .send(signal: SIGTERM)
        continue
      }
      commands[worker] = try? LoopProcess(loop, adopting: command.processID, startTicks: command.startTicks) {
        [unowned self] status in assumeIsolated { $0.hasEnded(worker, status) }
      }
      if commands[worker] != nil { supervision.isAdopted(worker, now: nowMilliseconds) }
    }
  }

  /// What another process needs to go on with them.
  var handedOverCommands: [HandedOver.Command] {
    commands.sorted { $0.key < $1.key }.map { worker, process in
      HandedOver.Command(
        worker: supervision.workers[worker].name, processID: process.processID, startTicks: process.startTicks)
    }
  }

  /// Tells commands to end.
  func endCommands(signal: Int32) {
    for process in commands.values { process.send(signal: signal) }
  }

  // MARK: Units

  /// The folder of the files that path units of the service manager watch for: beside the socket, with `.wanted` for `.sock`.
  private var wishFolder: String? {
    guard let path = clientsPath ?? configuration.socketPath else { return nil }
    return (path.hasSuffix(".sock") ? String(path.dropLast(5)) : path) + ".wanted"
  }

  /// Makes the file that has the service manager start a unit.
  private func wish(_ worker: Int, _ name: String) {
    guard let folder = wishFolder else { return }
    mkdir(folder, 0o755)
    let path = "\(folder)/\(name)"
    let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard file >= 0 else {
      let error = LoopError(attempted: "make \(path)", code: errno)
      return report(.error, "worker not started", describe(worker) + [("error", error.description)])
    }
    close(file)
    wishes.insert(worker)
    report(.info, "worker wanted", describe(worker) + [("file", path)])
  }

  /// It is there, or nobody waits for it any more.
  private func forgetWish(_ worker: Int) {
    guard wishes.remove(worker) != nil, let folder = wishFolder,
      case .unit(let name) = supervision.workers[worker].launch
    else { return }
    unlink("\(folder)/\(name)")
  }

  func forgetWishes() {
    for worker in wishes { forgetWish(worker) }
    if let folder = wishFolder, supervises { rmdir(folder) }
  }
}
