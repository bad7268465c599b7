import Glibc
import Synchronization

/// The processes that run now, so that `serve` leaves none behind.
///
/// Thread: any.
final class ServedProcesses: Sendable {
  private struct State {
    var calls = 0
    /// Leaders of process groups, from after their start until before their number may be given to another process.
    var groups: Set<pid_t> = []
    var isLeaving = false
    var isKilling = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

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

  /// A process group has come to be, known by its leader.
  func started(_ leader: pid_t) {
    state.withLock { state in
      state.groups.insert(leader)
      if state.isKilling { kill(-leader, SIGKILL) }
    }
  }

  /// The leader has ended and is about to be waited for: kills what it has left behind.
  func ended(_ leader: pid_t) {
    state.withLock { state in
      state.groups.remove(leader)
      kill(-leader, SIGKILL)
    }
  }

  /// Kills everything at once, and waits a second at most for commands that are just being started, so that none of
  /// them is left behind.
  func killAll() {
    state.withLock { state in
      state.isKilling = true
      for leader in state.groups { kill(-leader, SIGKILL) }
    }
    let end = ContinuousClock.now + .seconds(1)
    while state.withLock({ $0.groups.count < $0.calls }), ContinuousClock.now < end { usleep(1_000) }
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
}
