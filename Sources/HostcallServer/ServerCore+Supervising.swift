import Glibc
import HostcallBridge
import HostcallLoop
import HostcallWire

/// Workers that are started when calls wait for them: what ``Supervision`` decides is done here.
extension ServerCore {
  /// Whether there is anything to look after.
  var supervises: Bool { !supervision.workers.isEmpty }

  var nowMilliseconds: UInt64 { loop.nowNanoseconds() / 1_000_000 }

  /// A turn is over: who is wanted is started, and who has been started is looked for.
  func superviseTurn() {
    guard phase == .serving, bridge.wantsWorkers || supervision.isStarting else { return }
    let now = nowMilliseconds
    for worker in bridge.takeWanted() { supervision.isWanted(worker, now: now) }
    if supervision.isStarting {
      for worker in supervision.workers.indices where bridge.isServed(worker) && !bridge.isWanted(worker) {
        supervision.isServing(worker, now: now)
        forgetWish(worker)
      }
    }
    takeSteps()
  }

  func takeSteps() {
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
      if let running = commands[worker] {
        running.process.send(signal: SIGKILL)
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

  func describe(_ worker: Int) -> [(key: String, value: String)] {
    [("worker", supervision.workers[worker].name)]
  }

  // MARK: Starting

  private func start(_ worker: Int) {
    switch supervision.workers[worker].launch {
    case .command(let command): start(worker, command)
    case .unit(let name): wish(worker, name)
    }
  }

  // MARK: Units

  /// The folder of the files that path units of the service manager watch for.
  private var wishFolder: String? { placeBeside(".wanted") }

  /// A path beside the socket, with another ending for `.sock`.
  func placeBeside(_ ending: String) -> String? {
    guard let path = clientsPath ?? configuration.socketPath else { return nil }
    return (path.hasSuffix(".sock") ? String(path.dropLast(5)) : path) + ending
  }

  /// Makes the file that has the service manager start a unit.
  private func wish(_ worker: Int, _ name: String) {
    guard let folder = wishFolder else { return }
    do throws(LoopError) {
      try PrivateFiles.touch(name, in: folder)
      wishes.insert(worker)
      report(.info, "worker wanted", describe(worker) + [("unit", "hostcall-worker@\(name)")])
    } catch {
      report(.error, "worker not started", describe(worker) + [("error", error.description)])
    }
  }

  /// It is there, or nobody waits for it any more.
  private func forgetWish(_ worker: Int) {
    guard wishes.remove(worker) != nil, let folder = wishFolder,
      case .unit(let name) = supervision.workers[worker].launch
    else { return }
    PrivateFiles.remove([name], in: folder)
  }

  /// Forgets all wishes, those of an earlier process among them.
  func forgetWishes() {
    guard supervises, let folder = wishFolder else { return }
    wishes = []
    let units = supervision.workers.compactMap { if case .unit(let name) = $0.launch { name } else { nil } }
    if !units.isEmpty { PrivateFiles.remove(units, in: folder) }
  }
}
