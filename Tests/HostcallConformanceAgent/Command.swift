import HostcallClient

/// Why a line of the driver cannot be obeyed.
struct Misunderstanding: Error {
  let reason: String

  init(_ reason: String) {
    self.reason = reason
  }
}

/// One line of the driver: a tag, a word that says what, and values by key.
struct Command: Sendable {
  let tag: String
  let word: String
  private let values: [String: ArraySlice<UInt8>]

  /// Takes a line apart.
  init(_ line: ArraySlice<UInt8>) throws(Misunderstanding) {
    let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard words.count >= 2, !words.contains(where: \.isEmpty) else {
      throw Misunderstanding("not a tag, a word and values with single spaces between them")
    }
    tag = String(decoding: words[0], as: UTF8.self)
    word = String(decoding: words[1], as: UTF8.self)
    var values: [String: ArraySlice<UInt8>] = [:]
    for word in words.dropFirst(2) {
      guard let sign = word.firstIndex(of: UInt8(ascii: "=")) else { throw Misunderstanding("a word without =") }
      values[String(decoding: word[..<sign], as: UTF8.self)] = word[(sign + 1)...]
    }
    self.values = values
  }

  /// The value of a key as text, nil where it is not there.
  func text(_ key: String) -> String? {
    values[key].map { String(decoding: $0, as: UTF8.self) }
  }

  /// The value of a key that has to be there.
  func needed(_ key: String) throws(Misunderstanding) -> String {
    guard let text = text(key) else { throw Misunderstanding("no \(key)=") }
    return text
  }

  /// The value of a key as a number.
  func number(_ key: String) throws(Misunderstanding) -> Int? {
    guard let text = text(key) else { return nil }
    guard let number = Int(text) else { throw Misunderstanding("\(key) is not a number") }
    return number
  }

  /// Whether a key says `yes`.
  func says(_ key: String) -> Bool {
    text(key) == "yes"
  }

  /// A key in milliseconds.
  func milliseconds(_ key: String) throws(Misunderstanding) -> Duration? {
    try number(key).map { .milliseconds($0) }
  }

  /// A key in hexadecimal, empty where it is not there.
  func bytes(_ key: String) throws(Misunderstanding) -> [UInt8] {
    guard let digits = values[key] else { return [] }
    return try Hexadecimal.decode(digits)
  }

  /// Payload and encoding.
  func item() throws(Misunderstanding) -> HostcallItem {
    HostcallItem(payload: try bytes("payload"), encoding: try encoding())
  }

  /// The payload's encoding, raw where nothing is said.
  func encoding() throws(Misunderstanding) -> PayloadEncoding {
    guard let number = try number("encoding") else { return .raw }
    guard let byte = UInt8(exactly: number) else { throw Misunderstanding("encoding is not a byte") }
    return PayloadEncoding(rawValue: byte)
  }

  /// Entries `key:hexadecimal` with commas between them.
  func metadata() throws(Misunderstanding) -> Metadata {
    var metadata = Metadata()
    for entry in (values["metadata"] ?? []).split(separator: UInt8(ascii: ",")) {
      guard let colon = entry.firstIndex(of: UInt8(ascii: ":")) else { throw Misunderstanding("metadata without :") }
      let value = String(decoding: try Hexadecimal.decode(entry[(colon + 1)...]), as: UTF8.self)
      do throws(MetadataError) {
        try metadata.set(String(decoding: entry[..<colon], as: UTF8.self), to: value)
      } catch {
        throw Misunderstanding(error.reason)
      }
    }
    return metadata
  }

  /// The status of a completion, by name or number.
  func status() throws(Misunderstanding) -> Status {
    guard let text = text("status") else { return .ok }
    if let status = Status(name: text) { return status }
    guard let value = UInt8(text) else { throw Misunderstanding("\(text) is no status") }
    return Status(rawValue: value)
  }
}

/// Bytes as two digits each.
enum Hexadecimal {
  private static let digits = Array("0123456789abcdef".utf8)

  static func decode(_ digits: ArraySlice<UInt8>) throws(Misunderstanding) -> [UInt8] {
    guard digits.count % 2 == 0 else { throw Misunderstanding("an odd number of hexadecimal digits") }
    var isRight = true
    let bytes = [UInt8](unsafeUninitializedCapacity: digits.count / 2) { bytes, count in
      digits.withUnsafeBufferPointer { digits in
        var place = 0
        while place < digits.count {
          let (high, low) = (value(of: digits[place]), value(of: digits[place + 1]))
          if high > 15 || low > 15 { isRight = false }
          bytes.initializeElement(at: place / 2, to: high << 4 | low & 15)
          place += 2
        }
      }
      count = digits.count / 2
    }
    guard isRight else { throw Misunderstanding("not hexadecimal") }
    return bytes
  }

  static func append(_ bytes: [UInt8], to line: inout [UInt8]) {
    line += [UInt8](unsafeUninitializedCapacity: bytes.count * 2) { text, count in
      digits.withUnsafeBufferPointer { digits in
        bytes.withUnsafeBufferPointer { bytes in
          var place = 0
          while place < bytes.count {
            text.initializeElement(at: place * 2, to: digits[Int(bytes[place] >> 4)])
            text.initializeElement(at: place * 2 + 1, to: digits[Int(bytes[place] & 15)])
            place += 1
          }
        }
      }
      count = bytes.count * 2
    }
  }

  /// The value of a digit, more than 15 where it is none.
  private static func value(of digit: UInt8) -> UInt8 {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: 255
    }
  }
}
