import Glibc
import HostcallTestSupport

/// Programs that use the client library beside the soak's own peers: callers that keep an account of their own, and
/// workers. Their system calls fail too, and they are killed.
final class SoakPrograms {
  private static let callsPerCaller = 1_500

  private final class Program {
    let isCaller: Bool
    let process: ChildProcess
    let errors: String

    init(isCaller: Bool, process: ChildProcess, errors: String) {
      self.isCaller = isCaller
      self.process = process
      self.errors = errors
    }
  }

  private let folder = TemporaryFolder()
  private let socketPath: String
  private let seed: UInt64
  private let count: Int
  private var programs: [Program] = []
  private var started = 0

  /// - Parameter count: half of them are workers.
  init(count: Int, daemon: SoakDaemon, seed: UInt64) throws {
    self.count = count
    self.seed = seed
    socketPath = daemon.socketPath
  }

  /// Starts what is missing, checks what has ended, and kills one now and then.
  func tend(_ random: inout SeededGenerator, ledger: Ledger) throws {
    for program in programs where program.process.isRunning && random.oneIn(3) {
      program.process.stop(signal: SIGKILL)
      ledger.counts.programsKilled += 1
    }
    for program in programs where !program.process.isRunning { check(program, ledger: ledger) }
    programs.removeAll { !$0.process.isRunning }
    while programs.count < count {
      let callers = programs.count { $0.isCaller }
      try start(isCaller: callers < count / 2, ledger: ledger)
    }
  }

  /// Lets callers make their calls to the end, with at least one worker for them, and ends the workers.
  func finish(ledger: Ledger) throws {
    if count > 0, !programs.contains(where: { !$0.isCaller && $0.process.isRunning }) {
      try start(isCaller: false, ledger: ledger)
    }
    for program in programs where program.isCaller {
      program.process.wait()
      check(program, ledger: ledger)
    }
    for program in programs where !program.isCaller {
      if !program.process.isRunning { check(program, ledger: ledger) }
      program.process.stop(signal: SIGKILL)
    }
    programs = []
  }

  private func start(isCaller: Bool, ledger: Ledger) throws {
    started += 1
    let faults = FaultPlan(
      seed: seed &+ UInt64(started) &* 7_919,
      rates: [
        "recv-eintr": 50, "recv-short": 300, "recv-enomem": 5, "send-eintr": 50, "send-short": 300, "send-enobufs": 5,
        "recv-econnreset": 2, "send-econnreset": 2, "wait-eintr": 50,
      ])
    let errors = folder.file("errors-\(started)")
    let arguments =
      isCaller
      ? ["call", "--calls", "\(Self.callsPerCaller)", "--number", "\(started)"]
      : ["serve"]
    let process = try ChildProcess(
      "hostcall-soak", arguments + ["--socket", socketPath], environment: faults.environment(), errors: errors)
    programs.append(Program(isCaller: isCaller, process: process, errors: errors))
    ledger.counts.programsStarted += 1
  }

  private func check(_ program: Program, ledger: Ledger) {
    let status = program.process.wait()
    // A worker never leaves by itself, and nobody leaves with anything but 0.
    if status == 128 + SIGKILL || program.isCaller && status == 0 { return }
    let errors = String(decoding: Files.read(program.errors), as: UTF8.self)
    ledger.violated("a \(program.isCaller ? "calling" : "serving") program ended with \(status): \(errors)")
  }
}
