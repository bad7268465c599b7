import ArgumentParser

/// Durations as they are written on a command line: `250ms`, `2s`, `1.5s`, `1m`, `2h`.
enum DurationText {
  private static let units: [(name: String, milliseconds: Double)] = [
    ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000),
  ]

  /// The longest that the protocol can say: 32 bits of milliseconds.
  private static let longestMilliseconds = Double(UInt32.max)

  /// Reads a duration; a number without a unit is refused, because nobody knows which was meant.
  static func parse(_ text: String) throws(ValidationError) -> Duration {
    let number = text.prefix { ("0"..."9").contains($0) || $0 == "." }
    let unit = text[number.endIndex...]
    guard isNumber(number), let value = Double(number) else {
      throw ValidationError("say a duration such as 250ms, 2s, 1.5s or 1m")
    }
    if unit.isEmpty {
      throw ValidationError("a number needs a unit: \(text)ms or \(text)s?")
    }
    guard let factor = units.first(where: { $0.name == unit })?.milliseconds else {
      throw ValidationError("the unit is not one of ms, s, m and h")
    }
    let milliseconds = value * factor
    guard milliseconds > 0 else { throw ValidationError("it must be more than nothing") }
    guard milliseconds <= longestMilliseconds else { throw ValidationError("1193h is the longest that can be") }
    return .microseconds(max(1, Int64((milliseconds * 1_000).rounded())))
  }

  /// Whether it is digits, with one point between them at most.
  private static func isNumber(_ text: Substring) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return (1...2).contains(parts.count) && parts.allSatisfy { !$0.isEmpty }
  }
}
