import HostcallFunctions
import HostcallLoop

/// Callbacks about one thing, which run one after another in the order in which they were handed in.
///
/// Thread: any.
final class Strand: Sendable {
  private struct State {
    var jobs = Queue<Dispatcher.Job>()
    /// Whether one of them runs, or waits to.
    var isUnderWay = false
  }

  private let dispatcher: Dispatcher
  private let state = HeapLock(State())

  init(_ dispatcher: Dispatcher) {
    self.dispatcher = dispatcher
  }

  /// Runs a callback once those before it have returned.
  func run(_ job: @escaping Dispatcher.Job) {
    let isFirst = state.withLock { state in
      state.jobs.append(job)
      defer { state.isUnderWay = true }
      return !state.isUnderWay
    }
    if isFirst { dispatcher.run { self.step() } }
  }

  private func step() {
    state.withLock { $0.jobs.popFirst() }?()
    let hasMore = state.withLock { state in
      state.isUnderWay = !state.jobs.isEmpty
      return state.isUnderWay
    }
    if hasMore { dispatcher.run { self.step() } }
  }
}
