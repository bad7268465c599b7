/// Steps through metadata as it lies in a frame; ends early where it is malformed.
package struct MetadataReader {
  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  /// Whether an entry did not fit into the bytes.
  package private(set) var isCutShort = false

  package init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  /// The next key and value, nil at the end or where a size points past it.
  package mutating func next() -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
    guard position < bytes.count else { return nil }
    let keyStart = position + 1
    let keyEnd = keyStart + Int(bytes[position])
    guard keyEnd + 2 <= bytes.count else {
      isCutShort = true
      return nil
    }
    let valueBytes = Int(bytes[keyEnd]) | Int(bytes[keyEnd + 1]) << 8
    let valueStart = keyEnd + 2
    guard valueStart + valueBytes <= bytes.count else {
      isCutShort = true
      return nil
    }
    position = valueStart + valueBytes
    return (
      UnsafeRawBufferPointer(rebasing: bytes[keyStart..<keyEnd]),
      UnsafeRawBufferPointer(rebasing: bytes[valueStart..<position])
    )
  }
}

/// What metadata has to be (protocol section 2), on bytes as they come from the socket.
package enum MetadataRules {
  /// Whether the bytes are a key: 1 to 64 of `a-z 0-9 -`.
  package static func isKey(_ bytes: UnsafeRawBufferPointer) -> Bool {
    !bytes.isEmpty && bytes.count <= ProtocolConstants.longestMetadataKeyBytes
      && bytes.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
        default: false
        }
      }
  }

  /// Whether the daemon alone may write the key.
  package static func isReservedKey(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.starts(with: ProtocolConstants.reservedKeyPrefix.utf8)
  }

  /// What is wrong with the metadata, nil where nothing is.
  ///
  /// Its time grows with `n log n` of the bytes at most.
  package static func violation(in bytes: UnsafeRawBufferPointer, direction: FrameDirection) -> String? {
    var reader = MetadataReader(bytes)
    var keys = MetadataKeySet(of: bytes)
    while let (key, value) = reader.next() {
      guard isKey(key) else { return "a metadata key is not 1 to 64 of the characters a-z 0-9 -" }
      if direction == .toDaemon, isReservedKey(key) {
        return "the metadata key \(text(key)) begins with hostcall-, which only the daemon writes"
      }
      guard keys.insert(key) else { return "the metadata key \(text(key)) stands there twice" }
      guard isText(value) else { return "the metadata value of \(text(key)) is not UTF-8 without NUL" }
    }
    return reader.isCutShort ? "the metadata ends in the middle of an entry" : nil
  }

  private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes, as: UTF8.self)
  }

  private static func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if bytes.contains(0) { return false }
    return (try? UTF8Span(validating: Span(_unsafeElements: bytes.assumingMemoryBound(to: UInt8.self)))) != nil
  }
}
