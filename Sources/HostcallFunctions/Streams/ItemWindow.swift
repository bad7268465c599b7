/// How many items of one stream may be on their way to their consumer: the bound of everything that is kept for it.
///
/// A consumer grants so many at first, and again, as many as it has taken, when that is half of the window. A window of
/// large items takes that much memory: 32 items of 1 MiB are 32 MiB for each stream.
package enum ItemWindow {
  /// Items, where nobody says otherwise.
  package static let defaultItems = 32
  /// Items, the most that can be asked for.
  package static let largestItems = 1_048_576

  /// Items, the most credit that is kept count of.
  static let largestCredit = 1 << 62

  /// What is nearest to `items` and can be: at least one, at most ``largestItems``.
  package static func clamped(_ items: Int) -> Int {
    min(max(1, items), largestItems)
  }
}
