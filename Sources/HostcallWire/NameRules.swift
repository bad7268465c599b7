/// What a name and a pattern are (protocol section 2), on bytes as they come from the socket.
package enum NameRules {
  /// Whether the bytes are a name: 1 to 255 bytes, segments of `A-Z a-z 0-9 _ -` joined by single dots.
  package static func isName(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard !bytes.isEmpty, bytes.count <= 255 else { return false }
    var afterDot = true
    for byte in bytes {
      if byte == UInt8(ascii: ".") {
        if afterDot { return false }
        afterDot = true
      } else {
        guard isSegmentByte(byte) else { return false }
        afterDot = false
      }
    }
    return !afterDot
  }

  /// Whether the bytes are a pattern: a name followed by `.*`, or `*` alone; 255 bytes at most.
  package static func isPattern(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let last = bytes.last, last == UInt8(ascii: "*"), bytes.count <= 255 else { return false }
    if bytes.count == 1 { return true }
    guard bytes.count >= 3, bytes[bytes.count - 2] == UInt8(ascii: ".") else { return false }
    return isName(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 2)]))
  }

  /// Whether the pattern means the name: `a.*` everything below `a` but not `a`, `*` everything.
  package static func pattern(_ pattern: UnsafeRawBufferPointer, matches name: UnsafeRawBufferPointer) -> Bool {
    let prefix = pattern.dropLast()
    return name.count > prefix.count && name.starts(with: prefix)
  }

  /// Whether the name belongs to the daemon: it begins with `hostcall.`.
  package static func isReserved(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.starts(with: ProtocolConstants.reservedNamePrefix.utf8)
  }

  /// The same for text.
  package static func isName(_ text: String) -> Bool {
    withBytes(of: text, isName)
  }

  /// The same for text.
  package static func isPattern(_ text: String) -> Bool {
    withBytes(of: text, isPattern)
  }

  static func isSegmentByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  private static func withBytes(of text: String, _ check: (UnsafeRawBufferPointer) -> Bool) -> Bool {
    var text = text
    return text.withUTF8 { check(UnsafeRawBufferPointer($0)) }
  }
}
