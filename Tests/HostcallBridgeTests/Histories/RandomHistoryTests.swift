import HostcallTestSupport
import HostcallWire
import Testing

@testable import HostcallBridge

#if canImport(Glibc)
  import Glibc
#endif

/// Random histories, played to the bridge and to a plain model of the protocol.
///
/// `HOSTCALL_SEED` plays one history again. `HOSTCALL_TRACE` prints each seed before it is played: a history that traps
/// cannot be shrunk, but its seed is then the last one printed.
@Suite struct RandomHistoryTests {
  private static let base: UInt64 = 0x1057_ca11_0000_0000
  private static let shards = 8
  private static let historiesEach = 400

  @Test(arguments: 0..<shards)
  func theBridgeDoesWhatTheModelDoes(shard: Int) {
    if let seed = SeededGenerator.seedFromEnvironment {
      if shard == 0 { play(seed) }
      return
    }
    for number in 0..<Self.historiesEach {
      let seed = Self.base + UInt64(shard * Self.historiesEach + number)
      if getenv("HOSTCALL_TRACE") != nil {
        let line = "seed \(seed)\n"
        _ = write(STDERR_FILENO, line, line.utf8.count)
      }
      guard play(seed) else { return }
    }
  }

  /// Whether the history keeps all rules; if not, its shortest form is reported.
  @discardableResult
  private func play(_ seed: UInt64) -> Bool {
    let history = History(seed: seed)
    guard var failure = Failure(history.steps, history.limits) else { return true }
    failure.shrink(history.limits)
    let player = HistoryPlayer(limits: history.limits, keepsLog: true)
    try? player.play(failure.steps)
    let steps = player.log.joined(separator: "\n")
    Issue.record(
      "HOSTCALL_SEED=\(seed), \(failure.steps.count) steps of \(history.steps.count):\n\(steps)\n\(failure.violation)")
    return false
  }

  /// Steps that end in a violation.
  private struct Failure {
    var steps: [HistoryStep]
    var violation: HistoryViolation

    /// Nil where the steps break no rule. Steps behind the violation are cut off.
    init?(_ steps: [HistoryStep], _ limits: Limits) {
      let player = HistoryPlayer(limits: limits)
      do throws(HistoryViolation) {
        try player.play(steps)
        return nil
      } catch {
        self.steps = Array(steps.prefix(player.played + 1))
        violation = error
      }
    }

    /// Drops whatever is not needed to break a rule: first long stretches, then single steps.
    mutating func shrink(_ limits: Limits) {
      var length = steps.count / 2
      while length > 0 {
        var start = 0
        while start < steps.count {
          var fewer = steps
          fewer.removeSubrange(start..<min(start + length, steps.count))
          if let failure = Failure(fewer, limits) { self = failure } else { start += length }
        }
        length = length == 1 ? 0 : length / 2
      }
    }
  }
}
