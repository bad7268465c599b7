/// Keeps what one user can cause again and again from filling the log: of the same of one user, one line gets through in
/// an interval, and says how many did not.
///
/// Times are milliseconds of one monotonic clock. Belongs to the loop thread.
struct LogLimiter {
  /// What lines are the same: a user, and what it is about, such as a limit's name.
  struct Key: Hashable {
    /// Nil where it is not known who it was.
    let userID: UInt32?
    let what: String
  }

  /// Lines that were held back.
  struct Suppressed: Equatable {
    /// Nil for those of all keys that there was no room for.
    let key: Key?
    let lines: UInt64
  }

  /// Keys that are told apart at once; the lines of others are held back together.
  static let mostKeys = 1_024

  private struct Entry {
    var endMilliseconds: UInt64
    var suppressed: UInt64 = 0
  }

  private let intervalMilliseconds: UInt64
  private var entries: [Key?: Entry] = [:]

  /// - Parameter intervalMilliseconds: for how long a line keeps the same from being said again; 0 limits nothing.
  init(intervalMilliseconds: Int) {
    self.intervalMilliseconds = UInt64(intervalMilliseconds)
  }

  /// Whether a line gets through: then how many were held back since the one before it, else nil.
  mutating func admit(_ key: Key, nowMilliseconds now: UInt64) -> UInt64? {
    if intervalMilliseconds == 0 { return 0 }
    var key: Key? = key
    if entries[key] == nil, entries.count >= Self.mostKeys {
      entries = entries.filter { $0.value.endMilliseconds > now || $0.value.suppressed > 0 }
      if entries.count >= Self.mostKeys { key = nil }
    }
    guard let entry = entries[key], entry.endMilliseconds > now else {
      let suppressed = entries[key]?.suppressed ?? 0
      entries[key] = Entry(endMilliseconds: now + intervalMilliseconds)
      return suppressed
    }
    entries[key]?.suppressed += 1
    return nil
  }

  /// Milliseconds of the clock at which ``takeSuppressed(nowMilliseconds:)`` has something, nil where it has nothing.
  var nextMilliseconds: UInt64? {
    entries.values.lazy.filter { $0.suppressed > 0 }.map(\.endMilliseconds).min()
  }

  /// What was held back in intervals that are over, to be said now; that counts as a line that got through.
  mutating func takeSuppressed(nowMilliseconds now: UInt64) -> [Suppressed] {
    var taken: [Suppressed] = []
    for (key, entry) in entries where entry.endMilliseconds <= now {
      if entry.suppressed > 0 {
        taken.append(Suppressed(key: key, lines: entry.suppressed))
        entries[key] = Entry(endMilliseconds: now + intervalMilliseconds)
      } else {
        entries[key] = nil
      }
    }
    return taken
  }

  /// Everything that was held back, at the end.
  mutating func takeAllSuppressed() -> [Suppressed] {
    defer { entries = [:] }
    return entries.filter { $0.value.suppressed > 0 }.map { Suppressed(key: $0.key, lines: $0.value.suppressed) }
  }
}
