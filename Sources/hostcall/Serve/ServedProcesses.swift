import Glibc
import HostcallLoop

/// The processes that run now, so that `serve` leaves none behind.
///
/// A thread of its own waits for their ends. A process is known here from its start until it is waited for, so that a
/// signal never reaches another process that has been given its number.
///
/// Thread: any.
final class ServedProcesses: Sendable {
  private struct State {
    var calls = 0
    /// By the leader of the process group.
    var watches: [pid_t: CommandWatch] = [:]
    var isLeaving = false
    var isKilling = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = HeapLock(State())
  /// A byte for each process that is to be waited for.
  private let toReap: CommandPipe

  /// Begins to wait for the ends of processes. There is one in a program, for all its life.
  ///
  /// Errors: no descriptor or thread can be had.
  init() throws(LoopError) {
    // Whoever started this program may have it ignored: then nobody would learn how a command ended.
    Glibc.signal(SIGCHLD, SIG_DFL)
    toReap = try CommandPipe()
    try SystemThread(named: "command-ends") { self.reap() }.detach()
  }

  // MARK: Calls

  /// How many calls run.
  var count: Int { state.withLock(\.calls) }

  /// Whether this is the first time that it is asked to leave.
  func beginLeaving() -> Bool {
    state.withLock { state in
      defer { state.isLeaving = true }
      return !state.isLeaving
    }
  }

  /// A call begins. Each is ended by `callEnded`.
  func callBegan() {
    state.withLock { $0.calls += 1 }
  }

  /// A call has ended, and its processes have.
  func callEnded() {
    let waiting = state.withLock { state in
      state.calls -= 1
      guard state.calls == 0 else { return [CheckedContinuation<Void, Never>]() }
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Returns when no call runs.
  func waitUntilNoneIsLeft() async {
    await withCheckedContinuation { continuation in
      let isDone = state.withLock { state in
        if state.calls > 0 { state.waiting.append(continuation) }
        return state.calls == 0
      }
      if isDone { continuation.resume() }
    }
  }

  // MARK: Processes

  /// Starts a command; its end is told to the watch.
  ///
  /// Errors: the command cannot be run, or everything is about to be killed.
  func start(
    _ program: ServedProgram, environment: [String], passed: [Int32], _ watch: CommandWatch
  ) throws(LoopError) -> CommandProcess {
    try state.withLock { state throws(LoopError) in
      guard !state.isKilling else { throw LoopError(attempted: "run \(program.words[0])", code: ECANCELED) }
      let process = try CommandProcess(program, environment: environment, passed: passed)
      state.watches[process.processID] = watch
      var byte: UInt8 = 0
      _ = write(toReap.writeEnd.number, &byte, 1)
      return process
    }
  }

  /// Sends a signal to a command and all that it has started, unless it has ended.
  func signal(_ number: Int32, toGroupOf leader: pid_t) {
    state.withLock { state in
      if state.watches[leader] != nil { kill(-leader, number) }
    }
  }

  /// Kills everything at once; nothing starts any more. The program is about to leave: no end is told to anybody, so
  /// that callers get WORKER_LOST and not a failure of the function.
  func killAll() {
    state.withLock { state in
      state.isKilling = true
      for leader in state.watches.keys { kill(-leader, SIGKILL) }
    }
  }

  /// The body of the thread: waits for one process for each byte.
  private func reap() {
    while true {
      var byte: UInt8 = 0
      guard read(toReap.readEnd.number, &byte, 1) == 1 else { continue }
      while !reapOne() {}
    }
  }

  /// Waits for the end of a process, and kills what it has left behind before its number can be given away.
  ///
  /// False where it was none of ours, such as one that a shell started before it became this program.
  private func reapOne() -> Bool {
    var information = siginfo_t()
    guard waitid(P_ALL, 0, &information, WEXITED | WNOWAIT) == 0 else { return false }
    let processID = information._sifields._sigchld.si_pid
    var status: Int32 = 0
    let (watch, isKilling) = state.withLock { state in
      let watch = state.watches.removeValue(forKey: processID)
      if watch != nil { kill(-processID, SIGKILL) }
      waitpid(processID, &status, 0)
      return (watch, state.isKilling)
    }
    if !isKilling { watch?.ended(CommandEnding(waitStatus: status)) }
    return watch != nil
  }
}
