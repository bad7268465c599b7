/// Tables whose places are used again: `free` has the places of records that are not in use.
extension Array {
  /// Records that a table may have without anybody looking at how many of them are used.
  private static var roomyCount: Int { 256 }

  /// Puts a record where one was before, or at the end where no place is free; gives its place.
  mutating func insert(_ record: Element, reusing free: inout [Slot]) -> Slot {
    if let slot = free.popLast() {
      self[Int(slot)] = record
      return slot
    }
    append(record)
    return Slot(count - 1)
  }

  /// Drops unused records from the end, and their places from `free`, where that makes the table half as large or
  /// smaller: tables grow in a burst and would stay large. Whether it did.
  @discardableResult
  mutating func dropUnusedEnd(_ free: inout [Slot], where isUnused: (Element) -> Bool) -> Bool {
    var end = count
    while end > 0, isUnused(self[end - 1]) { end -= 1 }
    guard count > Self.roomyCount, end <= count / 2 else { return false }
    self = Self(self[..<end])
    free = free.filter { $0 < Slot(end) }
    return true
  }
}
