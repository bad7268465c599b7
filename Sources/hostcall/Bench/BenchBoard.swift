import HostcallClient
import HostcallLoop

/// What the tasks of one run share: which call is next, and what the calls came to.
///
/// Thread: any.
final class BenchBoard: Sendable {
  private struct State {
    /// In the closed loop.
    var tickets: CallTickets?
    /// In the open loop.
    var schedule: ArrivalSchedule?
    var tally = BenchTally()
    /// What ended the run before its time: without its connection no call can succeed.
    var loss: HostcallError?
  }

  private let state: HeapLock<State>
  private let start = ContinuousClock.now
  /// Tells the open loop that there is room again.
  private let room: AsyncStream<Void>
  private let roomSignal: AsyncStream<Void>.Continuation

  /// A closed loop that begins now.
  convenience init(_ tickets: CallTickets) {
    self.init(State(tickets: tickets))
  }

  /// An open loop that begins now.
  convenience init(_ schedule: ArrivalSchedule) {
    self.init(State(schedule: schedule))
  }

  private init(_ state: sending State) {
    self.state = HeapLock(state)
    (room, roomSignal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Since the start of the run.
  var now: Duration { .now - start }

  /// What there is so far.
  var tally: BenchTally { state.withLock(\.tally) }

  /// Calls that have ended so far.
  var ended: Int { state.withLock(\.tally.ended) }

  /// What ended the run before its time.
  var loss: HostcallError? { state.withLock(\.loss) }

  /// Calls that were due by now in the open loop and have not been sent.
  var unsent: Int {
    let now = now
    return state.withLock { $0.schedule?.unsent(now: now) ?? 0 }
  }

  /// Whether the closed loop begins another call: its number, counted from 1, or nil.
  func takeTicket() -> Int? {
    let now = now
    return state.withLock { state in
      guard state.loss == nil, state.tickets?.take(now: now) == true else { return nil }
      return state.tickets?.taken
    }
  }

  /// What the open loop does now.
  func nextStep() -> ArrivalSchedule.Step {
    let now = now
    return state.withLock { state in
      guard state.loss == nil else { return .over }
      return state.schedule?.next(now: now) ?? .over
    }
  }

  /// Returns once a call has been answered since the last time that this returned, or the task is cancelled.
  func waitForRoom() async {
    var signals = room.makeAsyncIterator()
    await signals.next()
  }

  /// Sleeps until that time of the run, or until the task is cancelled.
  func sleep(until time: Duration) async {
    try? await Task.sleep(until: start + time, tolerance: .zero, clock: .continuous)
  }

  /// Counts a call that has ended now.
  func record(_ outcome: BenchOutcome, connection: Int, due: Duration, sent: Duration) {
    let now = now
    let isOpen = state.withLock { state in
      state.tally.record(outcome, due: due, sent: sent, ended: now)
      if case .failed(let error) = outcome, error.endsConnection { state.loss = state.loss ?? error }
      state.schedule?.answered(connection: connection)
      return state.schedule != nil
    }
    if isOpen { roomSignal.yield() }
  }
}

extension HostcallError {
  /// Whether no further call by the same connection can succeed.
  var endsConnection: Bool {
    switch code {
    case .cannotConnect, .connectionLost, .closed: true
    default: false
    }
  }
}
