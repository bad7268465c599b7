import HostcallClient

/// How one call of a run ended.
enum BenchOutcome: Sendable {
  /// With a result, and with the right one where that is known.
  case answered
  /// With a result that is not what was sent to an echo.
  case wrongAnswer
  /// With an error.
  case failed(HostcallError)
  /// The run was ended first.
  case unfinished
}

/// What the calls of a run came to. Times are since the start of the run.
struct BenchTally: Sendable {
  /// From when a call was due until it was answered. Calls that failed are not in it.
  private(set) var latencies = LatencyRecord()
  /// From when a call was due until it was sent.
  private(set) var lateness = LatencyRecord()
  /// How many calls ended with each error, by the name of its status.
  private(set) var failures: [String: Int] = [:]
  /// The first error of all.
  private(set) var firstFailure: HostcallError?
  /// Answers with other bytes than were sent.
  private(set) var wrongAnswers = 0
  /// Calls that the end of the run cut off.
  private(set) var unfinished = 0
  /// When the last call ended.
  private(set) var lastEnd: Duration = .zero

  /// Calls that were answered rightly.
  var succeeded: Int { Int(latencies.count) }
  /// Calls that ended otherwise.
  var failed: Int { failures.values.reduce(wrongAnswers, +) }
  /// Calls that ended.
  var ended: Int { succeeded + failed }

  /// Counts a call.
  mutating func record(_ outcome: BenchOutcome, due: Duration, sent: Duration, ended: Duration) {
    lateness.record(sent - due)
    switch outcome {
    case .answered: latencies.record(ended - due)
    case .wrongAnswer: wrongAnswers += 1
    case .failed(let error):
      failures[error.statusName, default: 0] += 1
      firstFailure = firstFailure ?? error
    case .unfinished:
      unfinished += 1
      return
    }
    lastEnd = max(lastEnd, ended)
  }
}

extension HostcallError {
  /// The status as section 6 of the protocol names it, and in the same way what has none.
  var statusName: String {
    switch code {
    case .cannotConnect: "CANNOT_CONNECT"
    case .connectionLost: "CONNECTION_LOST"
    case .closed: "CLOSED"
    default: status.map(\.description) ?? "INVALID_ARGUMENT"
    }
  }
}
