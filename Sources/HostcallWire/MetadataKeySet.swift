/// The keys that the metadata of one frame has shown so far.
///
/// A few are found again by stepping through the metadata once more, without allocation; many go into a set, so that a
/// frame full of tiny entries cannot cost the square of its size.
package struct MetadataKeySet {
  private let metadata: UnsafeRawBufferPointer
  private var count = 0
  private var many: Set<[UInt8]> = []
  private static let fewAtMost = 16

  /// No key yet of these entries, whose keys go through ``insert(_:)`` in their order.
  package init(of metadata: UnsafeRawBufferPointer) {
    self.metadata = metadata
  }

  /// How many keys are in the set, 0 while there are few.
  package var hashedKeys: Int { many.count }

  /// Adds the next entry's key; false if an entry before it has the same.
  package mutating func insert(_ key: UnsafeRawBufferPointer) -> Bool {
    var earlier = MetadataReader(metadata)
    if count < Self.fewAtMost {
      for _ in 0..<count {
        if let entry = earlier.next(), entry.key.count == key.count, entry.key.elementsEqual(key) { return false }
      }
      count += 1
      return true
    }
    if many.isEmpty {
      for _ in 0..<count {
        if let entry = earlier.next() { many.insert(Array(entry.key)) }
      }
    }
    return many.insert(Array(key)).inserted
  }
}
