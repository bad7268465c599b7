/// The closed loop's account of how many calls may still begin. No clock: times are since the start of the run.
struct CallTickets {
  /// Calls in all; nil where only the time ends the run.
  let calls: Int?
  /// How long calls begin; nil where only their number ends the run.
  let length: Duration?

  /// Calls begun so far.
  private(set) var taken = 0

  init(calls: Int?, length: Duration?) {
    self.calls = calls
    self.length = length
  }

  /// Whether another call begins; it is counted then.
  mutating func take(now: Duration) -> Bool {
    if let calls, taken >= calls { return false }
    if let length, now >= length { return false }
    taken += 1
    return true
  }
}
