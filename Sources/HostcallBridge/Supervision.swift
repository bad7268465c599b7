/// When workers are started, and when that is given up: the rules, without any process.
///
/// Each worker is
/// - `idle`: nobody waits for it. To `delayed` or `starting` when a call does, to `resting` when it was started too often.
/// - `delayed`: it ended a moment ago. To `starting` when the delay is over.
/// - `starting`: it has been started, or is there without its functions. To `serving` when it has registered one of them;
///   to `idle` when it ends, or has taken too long and is ended, and from there on again if calls still wait.
/// - `serving`: it has registered what calls waited for. To `idle` when it ends, or, being a unit, of which nobody tells that,
///   when calls wait for it all the same; a process is `starting` then, for it may be connecting again.
/// - `resting`: it was started too often. Nobody waits for it. To `idle` when the time is over.
///
/// All times are milliseconds of one clock that only goes on.
package struct Supervision {
  /// What is to be done about a worker, by its place.
  package enum Step: Equatable {
    case start(Int)
    /// It has taken too long: it is to be ended, of which ``hasEnded(_:isWanted:now:)`` tells.
    case end(Int)
    /// No call is to wait for it until ``resume(_:)``.
    case giveUp(Int)
    case resume(Int)
  }

  private enum State: Equatable {
    case idle
    case delayed(until: UInt64)
    case starting(until: UInt64)
    case serving
    case resting(until: UInt64)
  }

  private struct Record {
    var state = State.idle
    /// Whether its process is there, as far as is known.
    var isRunning = false
    /// Since when it has served, as far as it has since it was started.
    var servedSince: UInt64?
    /// Ends in a row, without a longer time of service in between.
    var ends = 0
    /// Before this it is not started.
    var notBefore: UInt64 = 0
    /// Of the last starts, when each was.
    var starts: [UInt64] = []
  }

  package let workers: [OnDemandWorker]
  private var records: [Record]
  private var steps: [Step] = []

  package init(_ workers: [OnDemandWorker]) {
    self.workers = workers
    records = workers.map { _ in Record() }
  }

  /// Takes what is to be done.
  package mutating func takeSteps() -> [Step] {
    defer { steps = [] }
    return steps
  }

  /// When ``hitTime(now:isWanted:)`` is wanted.
  package var nextWake: UInt64? {
    records.compactMap { record in
      switch record.state {
      case .delayed(let until), .starting(let until), .resting(let until): until
      case .idle, .serving: nil
      }
    }.min()
  }

  /// Whether workers are looked for that are being started.
  package var isStarting: Bool { records.contains { if case .starting = $0.state { true } else { false } } }

  // MARK: Facts

  /// A call waits for a function of the worker that nobody has registered.
  package mutating func isWanted(_ worker: Int, now: UInt64) {
    switch records[worker].state {
    case .idle: begin(worker, now: now)
    case .serving where records[worker].isRunning:
      records[worker].state = .starting(until: now + UInt64(workers[worker].startMilliseconds))
    case .serving: hasEnded(worker, isWanted: true, now: now)
    case .delayed, .starting, .resting: break
    }
  }

  /// It has registered what calls waited for.
  package mutating func isServing(_ worker: Int, now: UInt64) {
    guard case .starting = records[worker].state else { return }
    records[worker].state = .serving
    records[worker].servedSince = records[worker].servedSince ?? now
  }

  /// Its process has ended, or could not be started.
  package mutating func hasEnded(_ worker: Int, isWanted: Bool, now: UInt64) {
    let plan = workers[worker]
    records[worker].isRunning = false
    let longest = UInt64(plan.longestDelayMilliseconds)
    if let since = records[worker].servedSince, now - since >= longest {
      records[worker].ends = 0
      records[worker].notBefore = now
    } else {
      let delay = UInt64(plan.firstDelayMilliseconds) << UInt64(min(records[worker].ends, 32))
      records[worker].ends += 1
      records[worker].notBefore = now + min(longest, delay)
    }
    records[worker].servedSince = nil
    if case .resting = records[worker].state { return }
    records[worker].state = .idle
    if isWanted { begin(worker, now: now) }
  }

  /// An earlier process of the daemon has started it, and it is still there.
  package mutating func isAdopted(_ worker: Int, now: UInt64) {
    records[worker].isRunning = true
    records[worker].servedSince = now
    records[worker].state = .serving
  }

  /// Time has passed.
  ///
  /// - Parameter isWanted: whether calls wait for a worker.
  package mutating func hitTime(now: UInt64, isWanted: (Int) -> Bool) {
    for worker in records.indices {
      switch records[worker].state {
      case .delayed(let until) where until <= now:
        records[worker].state = .idle
        if isWanted(worker) { begin(worker, now: now) }
      case .starting(let until) where until <= now:
        if case .command = workers[worker].launch, records[worker].isRunning {
          // Once; its end is told of soon.
          records[worker].state = .starting(until: .max)
          steps.append(.end(worker))
        } else {
          hasEnded(worker, isWanted: isWanted(worker), now: now)
        }
      case .resting(let until) where until <= now:
        records[worker].state = .idle
        records[worker].ends = 0
        steps.append(.resume(worker))
        if isWanted(worker) { begin(worker, now: now) }
      default: break
      }
    }
  }

  /// Starts it now, or later, or not for a while.
  private mutating func begin(_ worker: Int, now: UInt64) {
    let plan = workers[worker]
    guard records[worker].notBefore <= now else {
      return records[worker].state = .delayed(until: records[worker].notBefore)
    }
    if records[worker].isRunning {
      return records[worker].state = .starting(until: now + UInt64(plan.startMilliseconds))
    }
    let period = UInt64(plan.startsWithinMilliseconds)
    records[worker].starts.removeAll { $0 + period <= now }
    if records[worker].starts.count >= plan.starts, let first = records[worker].starts.first {
      records[worker].state = .resting(until: first + period)
      return steps.append(.giveUp(worker))
    }
    records[worker].starts.append(now)
    records[worker].isRunning = if case .command = plan.launch { true } else { false }
    records[worker].state = .starting(until: now + UInt64(plan.startMilliseconds))
    steps.append(.start(worker))
  }
}
