import HostcallTestSupport

/// What all peers of a soak share. One thread.
final class SoakWorld {
  var random: SeededGenerator
  let ledger = Ledger()
  /// Nanoseconds, as of the turn that goes on.
  private(set) var now: UInt64 = 0
  /// Whether no new work begins and nobody is killed, so that what goes on can end.
  var isQuiet = false
  /// Calls that may still be made.
  var callsLeft: Int
  /// Largest payload but for the rare very large ones; debug builds fill and check slowly.
  let usualLargestBytes: Int
  /// Calls that workers run now and that will not be sent to another worker, for strays.
  var runningIDs: [UInt64: ObjectIdentifier] = [:]

  init(seed: UInt64, calls: Int, usualLargestBytes: Int) {
    random = SeededGenerator(seed: seed)
    callsLeft = calls
    self.usualLargestBytes = usualLargestBytes
    tick()
  }

  func tick() {
    now = MonotonicTime.nanoseconds()
  }

  func payloadBytes() -> Int {
    switch random.below(1_000) {
    case 0: 300_000 + random.below(700_000)
    case 1..<30: random.below(usualLargestBytes)
    case 30..<200: random.below(3_000)
    default: random.below(120)
    }
  }
}
