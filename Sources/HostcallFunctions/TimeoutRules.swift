/// Durations as the protocol has them: whole milliseconds in 32 bits, 0 for "the default".
package enum TimeoutRules {
  /// Whole milliseconds, rounded up, so that something is never asked for as nothing.
  package static func milliseconds(_ duration: Duration) -> Int64 {
    let (seconds, attoseconds) = duration.components
    let (thousands, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
    if overflow { return seconds < 0 ? .min : .max }
    let rest = attoseconds / 1_000_000_000_000_000 + (attoseconds % 1_000_000_000_000_000 > 0 ? 1 : 0)
    let (sum, overflows) = thousands.addingReportingOverflow(rest)
    return overflows ? .max : sum
  }

  /// What goes on the wire for a timeout that is more than zero.
  package static func wireMilliseconds(_ duration: Duration) -> UInt32 {
    UInt32(clamping: max(1, milliseconds(duration)))
  }
}
