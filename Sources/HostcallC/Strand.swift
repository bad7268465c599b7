import HostcallFunctions
import HostcallLoop

/// Callbacks about one thing, which run one after another in the order in which they were handed in.
///
/// Thread: any.
final class Strand: Sendable {
  private struct State {
    var jobs = Queue<Dispatcher.Job>()
    /// Whether one of them runs, or waits to; also while they are held.
    var isUnderWay: Bool
    /// Whether nothing will run any more.
    var isDropped = false
  }

  private let dispatcher: Dispatcher
  private let state: HeapLock<State>

  /// - Parameter isHeld: whether none is to run before ``begin()``.
  init(_ dispatcher: Dispatcher, isHeld: Bool = false) {
    self.dispatcher = dispatcher
    state = HeapLock(State(isUnderWay: isHeld))
  }

  /// None of those that are held will run, nor what comes.
  func dropAll() {
    // What they refer to ends outside of the lock.
    _ = state.withLock { state in
      state.isDropped = true
      return state.jobs.removeAll()
    }
  }

  /// Runs those that were held, and from now on all.
  func begin() {
    continueIfNeeded()
  }

  /// Runs a callback once those before it have returned.
  func run(_ job: @escaping Dispatcher.Job) {
    let isFirst = state.withLock { state in
      // Kept, it would keep what it refers to, which often has this strand.
      if state.isDropped { return false }
      state.jobs.append(job)
      defer { state.isUnderWay = true }
      return !state.isUnderWay
    }
    if isFirst { dispatcher.run { self.step() } }
  }

  private func step() {
    state.withLock { $0.jobs.popFirst() }?()
    continueIfNeeded()
  }

  private func continueIfNeeded() {
    let hasMore = state.withLock { state in
      state.isUnderWay = !state.jobs.isEmpty
      return state.isUnderWay
    }
    if hasMore { dispatcher.run { self.step() } }
  }
}
