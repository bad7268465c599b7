import FoundationEssentials
import HostcallClient

/// All that a run came to, as `--json` writes it: every key is always there, null where there is nothing to say.
struct BenchReport: Encodable, Equatable, Sendable {
  /// What was asked for.
  struct Parameters: Encodable, Equatable, Sendable {
    let function: String
    /// Whether it is an echo that the command served itself, so that every answer was compared.
    let ownEcho: Bool
    /// `closed` or `open`.
    let loop: String
    let connections: Int
    /// Calls in flight on each connection; null in the open loop.
    @OrNull var depth: Int?
    /// Calls due each second; null in the closed loop.
    @OrNull var callsPerSecond: Double?
    /// Calls to make; null where only the time ends the run.
    @OrNull var calls: Int?
    /// How long calls are sent; null where only their number ends the run.
    @OrNull var seconds: Double?
    /// Bytes of each payload.
    let sizeBytes: Int
    /// How long each call may take; null for the daemon's default.
    @OrNull var timeoutMilliseconds: Double?
    let warmUpCalls: Int
  }

  /// Microseconds; null where there is no call to measure.
  struct Latency: Encodable, Equatable, Sendable {
    @OrNull var minimum: Double?
    @OrNull var mean: Double?
    @OrNull var p50: Double?
    @OrNull var p90: Double?
    @OrNull var p99: Double?
    @OrNull var p999: Double?
    @OrNull var maximum: Double?

    init(_ record: LatencyRecord) {
      minimum = record.shortestMicroseconds
      mean = record.meanMicroseconds
      p50 = record.microseconds(atPercentile: 50)
      p90 = record.microseconds(atPercentile: 90)
      p99 = record.microseconds(atPercentile: 99)
      p999 = record.microseconds(atPercentile: 99.9)
      maximum = record.longestMicroseconds
    }
  }

  /// A bare socket with the same payload, one message at a time.
  struct Raw: Encodable, Equatable, Sendable {
    let exchanges: UInt64
    let latencyMicroseconds: Latency
    /// How many times as long a call took; null where there is no call to measure.
    @OrNull var p50Ratio: Double?
    @OrNull var p99Ratio: Double?

    init(_ record: LatencyRecord, against calls: Latency) {
      exchanges = record.count
      latencyMicroseconds = Latency(record)
      p50Ratio = Self.ratio(calls.p50, latencyMicroseconds.p50)
      p99Ratio = Self.ratio(calls.p99, latencyMicroseconds.p99)
    }

    private static func ratio(_ call: Double?, _ raw: Double?) -> Double? {
      guard let call, let raw, raw > 0 else { return nil }
      return call / raw
    }
  }

  let parameters: Parameters
  /// The daemon, `name/version`.
  let server: String
  /// Calls that ended, well or not.
  let calls: Int
  let succeeded: Int
  let failed: Int
  /// How many ended with each error, by the name of its status.
  let failures: [String: Int]
  /// How many were answered with other bytes than an echo has to; null where the function is not the command's own.
  @OrNull var wrongAnswers: Int?
  /// Calls cut off by an interrupt.
  let unfinished: Int
  /// Calls of the open loop that were due and could not be sent; null in the closed loop.
  @OrNull var unsent: Int?
  /// From the start to the end of the last call.
  let seconds: Double
  /// Of those that succeeded.
  let callsPerSecond: Double
  /// Whether a signal ended the run.
  let interrupted: Bool
  /// From when a call was due until it was answered; without those that failed.
  let latencyMicroseconds: Latency
  /// From when a call was due until it was sent; null in the closed loop, where it is due when it is sent.
  @OrNull var latenessMicroseconds: Latency?
  /// Null without `--compare raw`.
  @OrNull var raw: Raw?

  /// One line of JSON, its keys in the order of the alphabet.
  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}

/// A value that JSON shows as null where there is none, so that its key is always there.
@propertyWrapper
struct OrNull<Value: Encodable & Equatable & Sendable>: Encodable, Equatable, Sendable {
  var wrappedValue: Value?

  init(wrappedValue: Value?) {
    self.wrappedValue = wrappedValue
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
  }
}

extension BenchReport.Parameters {
  init(_ plan: BenchPlan, function: String, ownEcho: Bool) {
    self.init(
      function: function, ownEcho: ownEcho, loop: plan.load.name, connections: plan.connections,
      depth: plan.load.depth, callsPerSecond: plan.load.callsPerSecond, calls: plan.calls, seconds: plan.seconds,
      sizeBytes: plan.sizeBytes, timeoutMilliseconds: plan.timeout.map { $0 / .milliseconds(1) },
      warmUpCalls: plan.warmUpCalls)
  }
}

extension BenchReport {
  /// The report on a tally.
  ///
  /// - Parameters:
  ///   - unsent: calls that were due and not sent.
  ///   - raw: what a bare socket took, where that was measured.
  init(
    _ tally: BenchTally, unsent: Int, parameters: Parameters, server: String, interrupted: Bool, raw: LatencyRecord?
  ) {
    let seconds = tally.lastEnd / .seconds(1)
    let latency = Latency(tally.latencies)
    let isOpen = parameters.callsPerSecond != nil
    self.init(
      parameters: parameters, server: server, calls: tally.ended, succeeded: tally.succeeded, failed: tally.failed,
      failures: tally.failures, wrongAnswers: parameters.ownEcho ? tally.wrongAnswers : nil,
      unfinished: tally.unfinished, unsent: isOpen ? unsent : nil, seconds: seconds,
      callsPerSecond: seconds > 0 ? Double(tally.succeeded) / seconds : 0, interrupted: interrupted,
      latencyMicroseconds: latency, latenessMicroseconds: isOpen ? Latency(tally.lateness) : nil,
      raw: raw.map { Raw($0, against: latency) })
  }
}

extension BenchPlan.Load {
  /// `closed` or `open`.
  var name: String { depth == nil ? "open" : "closed" }

  /// Calls in flight on each connection, nil in the open loop.
  var depth: Int? {
    if case .closed(let depth) = self { depth } else { nil }
  }

  /// Calls due each second, nil in the closed loop.
  var callsPerSecond: Double? {
    if case .open(let callsPerSecond) = self { callsPerSecond } else { nil }
  }
}
