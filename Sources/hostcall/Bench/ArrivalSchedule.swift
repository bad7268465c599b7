/// The open loop as a state machine: when each call is due, on which connection it goes, and what was never sent.
///
/// A call is due when its time has come, not when there is room for it, and its latency counts from then: a daemon that
/// answers nothing for a second makes all calls of that second late, as it would for users who do not wait for each
/// other. Times are since the start of the run. No I/O, no clock.
struct ArrivalSchedule {
  /// What to do now.
  enum Step: Equatable {
    /// Send a call on that connection, and count its latency from `due`.
    case send(connection: Int, due: Duration)
    /// No call is due until then.
    case wait(until: Duration)
    /// A call is due, and no connection may have another one in flight: ask again after an answer.
    case full
    /// All calls have been sent, or the time for it is over.
    case over
  }

  private let callsPerSecond: Double
  private let calls: Int
  private let places: Int
  /// Calls in flight on each connection.
  private var inFlight: [Int]
  private var nextConnection = 0

  /// Calls sent so far.
  private(set) var sent = 0

  /// - Parameters:
  ///   - calls: how many are due in all.
  ///   - places: how many calls each connection may have in flight.
  init(callsPerSecond: Double, calls: Int, connections: Int, places: Int) {
    precondition(callsPerSecond > 0 && connections > 0 && places > 0, "an open loop that can send nothing")
    self.callsPerSecond = callsPerSecond
    self.calls = calls
    self.places = places
    inFlight = Array(repeating: 0, count: connections)
  }

  /// When a call is due.
  func due(_ call: Int) -> Duration {
    .nanoseconds(Int64((Double(call) / callsPerSecond * 1e9).rounded()))
  }

  /// The next thing to do; asked again until it is `full`, `over` or a time to wait for.
  ///
  /// What is due and has room is sent, also after the end where the sender was late. What has no room by the end is not
  /// sent any more.
  mutating func next(now: Duration) -> Step {
    guard sent < calls else { return .over }
    let due = due(sent)
    guard due <= now else { return .wait(until: due) }
    guard let connection = takePlace() else { return now >= self.due(calls) ? .over : .full }
    sent += 1
    return .send(connection: connection, due: due)
  }

  /// A call of that connection has ended.
  mutating func answered(connection: Int) {
    precondition(inFlight[connection] > 0, "an answer on connection \(connection), which has no call in flight")
    inFlight[connection] -= 1
  }

  /// Calls that were due by then and have not been sent.
  func unsent(now: Duration) -> Int {
    let seconds = now / .seconds(1)
    let due = seconds < 0 ? 0 : Int(min(seconds * callsPerSecond, Double(calls))) + 1
    return max(0, min(calls, due) - sent)
  }

  /// The next connection with room, in turn.
  private mutating func takePlace() -> Int? {
    for _ in inFlight.indices {
      let connection = nextConnection
      nextConnection = (nextConnection + 1) % inFlight.count
      if inFlight[connection] < places {
        inFlight[connection] += 1
        return connection
      }
    }
    return nil
  }
}
