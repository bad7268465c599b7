/// Numbers with units as people read them.
enum HumanText {
  /// Microseconds as `85 µs`, `1.2 ms`, `340 ms`, `1.5 s`, `2m 05s`, `3h 12m` or `4d 03h`.
  static func duration(microseconds: Double) -> String {
    // Each bound is where the next unit would be written once rounded: 999.6 ms is a second.
    switch microseconds {
    case ..<999.5: "\(whole(microseconds)) µs"
    case ..<9_950: "\(oneDecimal(microseconds / 1_000)) ms"
    case ..<999_500: "\(whole(microseconds / 1_000)) ms"
    case ..<9_950_000: "\(oneDecimal(microseconds / 1_000_000)) s"
    case ..<59_500_000: "\(whole(microseconds / 1_000_000)) s"
    default: long(seconds: Int((min(microseconds, 1e18) / 1_000_000).rounded()))
    }
  }

  /// Milliseconds, as `duration(microseconds:)`.
  static func duration(milliseconds: UInt64) -> String {
    milliseconds == 0 ? "0 ms" : duration(microseconds: Double(milliseconds) * 1_000)
  }

  /// Seconds, as `duration(microseconds:)`.
  static func duration(seconds: Double) -> String {
    duration(microseconds: seconds * 1_000_000)
  }

  /// A duration, as `duration(microseconds:)`.
  static func duration(_ duration: Duration) -> String {
    self.duration(microseconds: duration / .microseconds(1))
  }

  /// Bytes as `512 B`, `1.5 KiB` or `16 MiB`.
  static func bytes(_ count: UInt64) -> String {
    var value = Double(count)
    var units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][...]
    while value >= 1_023.5, units.count > 1 {
      value /= 1_024
      units = units.dropFirst()
    }
    return "\(value >= 9.95 ? whole(value) : oneDecimal(value)) \(units.first ?? "B")"
  }

  private static func long(seconds: Int) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400)
    if minutes < 60 { return "\(minutes)m \(twoDigits(seconds % 60))s" }
    if hours < 24 { return "\(hours)h \(twoDigits(minutes % 60))m" }
    return "\(days)d \(twoDigits(hours % 24))h"
  }

  private static func whole(_ value: Double) -> String {
    String(Int(max(0, value).rounded()))
  }

  /// One digit behind the point, none where the number is whole.
  private static func oneDecimal(_ value: Double) -> String {
    guard value != value.rounded() else { return whole(value) }
    let tenths = Int((max(0, value) * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }

  private static func twoDigits(_ number: Int) -> String {
    number < 10 ? "0\(number)" : "\(number)"
  }
}
