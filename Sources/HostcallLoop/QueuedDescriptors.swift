/// The descriptors of the frames of an output queue, in the order of their frames.
///
/// Thread: that of the queue. An entry stays until its frame has wholly left, so that a frame which has to be sent
/// again elsewhere still has them, although they leave with its first byte.
struct QueuedDescriptors {
  private struct Entry {
    /// How many bytes had been appended before the frame.
    let start: UInt64
    /// And how many with it.
    let end: UInt64
    let descriptors: PassedDescriptors
  }

  /// Entries before `first` have left and are gone; their places are given back now and then.
  private var entries: [Entry?] = []
  private var first = 0

  var isEmpty: Bool { first == entries.count }

  mutating func append(_ descriptors: PassedDescriptors, start: UInt64, end: UInt64) {
    entries.append(Entry(start: start, end: end, descriptors: descriptors))
  }

  /// Those of frames that have not wholly left, in order.
  var all: [(start: UInt64, end: UInt64, descriptors: PassedDescriptors)] {
    entries[first...].compactMap { $0.map { ($0.start, $0.end, $0.descriptors) } }
  }

  /// Lets go of those whose frames have wholly left.
  mutating func didSend(upTo position: UInt64) {
    while first < entries.count, let entry = entries[first], entry.end <= position {
      entries[first] = nil
      first += 1
    }
    if first == entries.count || first >= 64 && first >= entries.count / 2 {
      entries.removeFirst(first)
      first = 0
    }
  }

  /// Those of the frame that begins at this position.
  func beginning(at position: UInt64) -> PassedDescriptors? {
    guard first < entries.count, let entry = entries[first], entry.start == position else { return nil }
    return entry.descriptors
  }

  /// Where the first frame with descriptors begins past this position.
  func nextStart(after position: UInt64) -> UInt64? {
    // Only the first of the frames that have not wholly left can have begun to.
    for place in first..<min(first + 2, entries.count) {
      if let entry = entries[place], entry.start > position { return entry.start }
    }
    return nil
  }

  /// Those of the frame that ends at this position; the cost grows with the logarithm of how many there are.
  func ending(at position: UInt64) -> PassedDescriptors? {
    var low = first
    var high = entries.count
    while low < high {
      let middle = low + (high - low) / 2
      guard let entry = entries[middle] else { return nil }
      if entry.end == position { return entry.descriptors }
      if entry.end < position { low = middle + 1 } else { high = middle }
    }
    return nil
  }
}
