import HostcallWire

/// How long the calls of one function took: counts in buckets that grow by a quarter of an octave, made at the first
/// call, so that a name which is never called costs nothing.
struct LatencyHistogram {
  /// How many calls took so long, for each bucket. A class, for nobody has to look who else has an array of these.
  ///
  /// Unsafe pointers' rule: there are `bucketCount` numbers at `start`.
  private final class Counts {
    let start: UnsafeMutablePointer<UInt32>

    init() {
      start = .allocate(capacity: LatencyHistogram.bucketCount)
      start.initialize(repeating: 0, count: LatencyHistogram.bucketCount)
    }

    deinit {
      start.deallocate()
    }
  }

  private static let stepsPerOctave = 4
  private static let octaves = 44
  private static var bucketCount: Int { stepsPerOctave * octaves }

  private var counts: Counts?
  private var total: UInt64 = 0
  private var sumNanoseconds: UInt64 = 0
  private var maximumNanoseconds: UInt64 = 0

  mutating func record(nanoseconds: UInt64) {
    if counts == nil { counts = Counts() }
    let bucket = min(Self.bucket(of: nanoseconds), Self.bucketCount - 1)
    if let start = counts?.start, start[bucket] != .max { start[bucket] &+= 1 }
    total &+= 1
    sumNanoseconds &+= nanoseconds
    maximumNanoseconds = max(maximumNanoseconds, nanoseconds)
  }

  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    try coder.code(&total)
    try coder.code(&sumNanoseconds)
    try coder.code(&maximumNanoseconds)
    guard total > 0 else { return }
    let counts = counts ?? Counts()
    self.counts = counts
    try coder.code(numbers: UnsafeMutableRawBufferPointer(start: counts.start, count: 4 * Self.bucketCount))
  }

  var report: LatencyReport {
    LatencyReport(
      count: total, meanMicroseconds: total == 0 ? 0 : Double(sumNanoseconds) / Double(total) / 1_000,
      p50Microseconds: percentile(0.5), p99Microseconds: percentile(0.99),
      maximumMicroseconds: Double(maximumNanoseconds) / 1_000)
  }

  private func percentile(_ share: Double) -> Double {
    let wanted = UInt64((Double(total) * share).rounded(.up))
    var seen: UInt64 = 0
    for (bucket, count) in UnsafeBufferPointer(start: counts?.start, count: counts == nil ? 0 : Self.bucketCount)
      .enumerated()
    {
      seen += UInt64(count)
      if seen >= wanted, count > 0 {
        return Double(min(Self.upperBound(of: bucket), maximumNanoseconds)) / 1_000
      }
    }
    return 0
  }

  private static func bucket(of nanoseconds: UInt64) -> Int {
    guard nanoseconds >= 4 else { return Int(nanoseconds) }
    let octave = 63 - nanoseconds.leadingZeroBitCount
    return (octave - 1) * stepsPerOctave + Int((nanoseconds >> UInt64(octave - 2)) & 3)
  }

  private static func upperBound(of bucket: Int) -> UInt64 {
    guard bucket >= stepsPerOctave else { return UInt64(bucket) }
    let octave = bucket / stepsPerOctave + 1
    let step = UInt64(bucket % stepsPerOctave)
    return (4 + step + 1) << UInt64(octave - 2) - 1
  }
}
