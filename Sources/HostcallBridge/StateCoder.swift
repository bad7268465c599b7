/// Why a state cannot be taken over.
package struct StateError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) {
    self.description = description
  }
}

/// Writes values one after another, or reads them back in the same order: each type has one function for both, so that what
/// is written and what is read cannot differ.
///
/// Numbers are little-endian and as wide as their type. What is read is checked for its size, so that nothing outside of the
/// bytes is read and no more memory taken than they could fill.
package struct StateCoder {
  package let isReading: Bool
  package private(set) var bytes: [UInt8]
  /// Open files that go with what was written, or come with what is read.
  package private(set) var descriptors: [any FrameDescriptors]
  private var position = 0

  /// A coder that writes.
  package init() {
    isReading = false
    bytes = []
    descriptors = []
  }

  /// A coder that reads what another one has written.
  package init(reading bytes: [UInt8], descriptors: [any FrameDescriptors]) {
    isReading = true
    self.bytes = bytes
    self.descriptors = descriptors
  }

  /// Whether all that was written has been read.
  package var isAtEnd: Bool { position == bytes.count }

  package mutating func code<Number: FixedWidthInteger & BitwiseCopyable>(_ value: inout Number) throws(StateError) {
    let byteCount = MemoryLayout<Number>.size
    if isReading {
      guard bytes.count - position >= byteCount else { throw Self.tooShort }
      value = bytes.withUnsafeBytes {
        Number(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: Number.self))
      }
      position += byteCount
    } else {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
  }

  /// Many numbers that lie one after another, in the order of bytes that this processor has, which is little-endian.
  package mutating func code(numbers: UnsafeMutableRawBufferPointer) throws(StateError) {
    guard isReading else { return bytes.append(contentsOf: numbers) }
    guard bytes.count - position >= numbers.count else { throw Self.tooShort }
    bytes.withUnsafeBytes {
      numbers.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<(position + numbers.count)]))
    }
    position += numbers.count
  }

  package mutating func code(numbers: inout [UInt64]) throws(StateError) {
    var problem: StateError?
    numbers.withUnsafeMutableBytes { numbers in
      do throws(StateError) { try code(numbers: numbers) } catch { problem = error }
    }
    if let problem { throw problem }
  }

  package mutating func code(_ value: inout Bool) throws(StateError) {
    var byte: UInt8 = value ? 1 : 0
    try code(&byte)
    guard byte <= 1 else { throw StateError("\(byte) stands where yes or no should") }
    value = byte == 1
  }

  package mutating func code(_ value: inout UInt64?) throws(StateError) {
    var isThere = value != nil
    try code(&isThere)
    guard isThere else { return value = nil }
    var number = value ?? 0
    try code(&number)
    value = number
  }

  package mutating func code(_ value: inout [UInt8]) throws(StateError) {
    let count = try count(value.count)
    if isReading {
      value = Array(bytes[position..<(position + count)])
      position += count
    } else {
      bytes.append(contentsOf: value)
    }
  }

  package mutating func code(_ value: inout String) throws(StateError) {
    var utf8 = Array(value.utf8)
    try code(&utf8)
    value = String(decoding: utf8, as: UTF8.self)
  }

  package mutating func code<Value: RawRepresentable>(_ value: inout Value) throws(StateError)
  where Value.RawValue: FixedWidthInteger & BitwiseCopyable {
    var raw = value.rawValue
    try code(&raw)
    guard let known = Value(rawValue: raw) else { throw StateError("\(raw) is no \(Value.self)") }
    value = known
  }

  /// A place of a table that has so many, or none.
  package mutating func code(_ slot: inout Slot, below count: Int) throws(StateError) {
    try code(&slot)
    guard slot == .none || Int(slot) < count else {
      throw StateError("the place \(slot) is outside of a table of \(count)")
    }
  }

  package mutating func code<Element>(
    _ values: inout [Element], of blank: Element, each: (inout StateCoder, inout Element) throws(StateError) -> Void
  ) throws(StateError) {
    let count = try count(values.count)
    if isReading { values = [] }
    for index in 0..<count {
      var value = isReading ? blank : values[index]
      try each(&self, &value)
      if isReading { values.append(value) }
    }
  }

  package mutating func code(_ value: inout (any FrameDescriptors)?) throws(StateError) {
    var place: UInt32 = 0
    if let value, !isReading {
      descriptors.append(value)
      place = UInt32(descriptors.count)
    }
    try code(&place)
    guard isReading else { return }
    guard place <= descriptors.count else { throw StateError("descriptors are missing") }
    value = place == 0 ? nil : descriptors[Int(place) - 1]
  }

  /// How many things follow, each of at least a byte.
  package mutating func count(_ count: Int) throws(StateError) -> Int {
    var number = UInt64(count)
    try code(&number)
    guard !isReading || number <= UInt64(bytes.count - position) else { throw Self.tooShort }
    return Int(number)
  }

  private static var tooShort: StateError { StateError("it ends too early") }
}

extension Places {
  /// The records in use of a table, each at its place; reading fills a table that has none, and `free` with the places
  /// between them.
  mutating func code(
    _ coder: inout StateCoder, free: inout [Slot], blank: @autoclosure () -> Record, isUsed: (Slot) -> Bool,
    each: (inout StateCoder, inout Record, Slot) throws(StateError) -> Void
  ) throws(StateError) {
    var used = coder.isReading ? [] : indices.map { Slot($0) }.filter(isUsed)
    var total = (used.last ?? 0) + 1
    try coder.code(&total)
    guard total <= 1 << 24 else { throw StateError("a table has \(total) places") }
    let usedCount = try coder.count(used.count)
    if coder.isReading {
      while count < Int(total) { append(blank()) }
    }
    for index in 0..<usedCount {
      var slot = coder.isReading ? 0 : used[index]
      try coder.code(&slot)
      guard Int(slot) < count else { throw StateError("the place \(slot) is outside of a table of \(count)") }
      try each(&coder, &self[slot], slot)
      if coder.isReading { used.append(slot) }
    }
    guard coder.isReading else { return }
    let taken = Set(used)
    free = indices.reversed().map { Slot($0) }.filter { !taken.contains($0) }
  }
}
