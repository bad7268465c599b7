/// The text of a configuration before TOMLKit reads it: finds what TOMLKit would not survive, or not see.
///
/// - It takes texts as C strings, which end at the first NUL; what comes behind would silently mean nothing.
/// - It follows tables in tables by recursion, and a key of many parts is that many tables: too many overflow the stack.
/// - It ends the process where `[` is not followed by the name of a table, where a list ends with `}` or has a line
///   separator of Unicode in it, and at some dates that are none, such as `1979-05-27 7` and `1979-05-27T:`.
///
/// What else is wrong with a text is left to TOMLKit, which says so. It is toml++ 3.4.0, by way of TOMLKit 0.6.0.
struct SettingsText {
  /// Parts that a key may have; those that mean something have two.
  static let mostKeyParts = 8

  private let path: String
  private var rest: ArraySlice<UInt8>
  private var line = 1
  /// Nothing but white space has been on this line.
  private var lineIsBlank = true
  private var previous = Self.newline
  /// What began with a digit has not ended yet.
  private var isInNumber = false
  /// The lists and inline tables that are open, by how they begin.
  private var openBrackets: [UInt8] = []
  private var keyParts = 1

  private init(_ text: String, path: String) {
    self.path = path
    rest = text.utf8.starts(with: Self.byteOrderMark) ? Array(text.utf8)[3...] : Array(text.utf8)[...]
  }

  /// Throws where TOMLKit must not see this text.
  static func check(_ text: String, path: String) throws(SettingsError) {
    var text = SettingsText(text, path: path)
    while let byte = try text.next() { try text.check(byte) }
  }

  private mutating func check(_ byte: UInt8) throws(SettingsError) {
    let isFirst = lineIsBlank
    lineIsBlank = byte == Self.newline || isFirst && Self.isSpace(byte)
    try checkNumber(byte)
    switch Unicode.Scalar(byte) {
    case "#": try skip { $0 != Self.newline }
    case "\"", "'": try skipText(quote: byte)
    case "[" where isFirst && openBrackets.isEmpty: try checkHeader()
    case "[", "{": openBrackets.append(byte)
    case "]", "}":
      if let opened = openBrackets.popLast(), opened == UInt8(ascii: "["), byte == UInt8(ascii: "}") {
        throw refused("this is not TOML: a list ends with } where ] is expected")
      }
    case ".":
      keyParts += 1
      guard keyParts <= Self.mostKeyParts else { throw refused("a key has more than \(Self.mostKeyParts) parts") }
    case "\u{80}"...: throw refused("this is not TOML: only texts in quotes and comments may have such characters")
    default: break
    }
    if Self.endsKey(byte) { keyParts = 1 }
  }

  /// A number begins with a digit, where something can begin. No key of a configuration takes a date.
  private mutating func checkNumber(_ byte: UInt8) throws(SettingsError) {
    switch Unicode.Scalar(byte) {
    case " ", "\t", "\r", "\n", ",", "]", "}", "#": isInNumber = false
    case "0"..."9": isInNumber = isInNumber || Self.isSpace(previous) || Self.endsKey(previous)
    case "-" where isInNumber, "\"" where isInNumber, "'" where isInNumber:
      throw refused("a number has \(Unicode.Scalar(byte)) in it (no key takes a date)")
    default: break
    }
    previous = byte
  }

  /// What follows the first `[` of a header, such as `[limits]` or `[[policy]]`.
  private mutating func checkHeader() throws(SettingsError) {
    try skip(Self.isSpace)
    if rest.first == UInt8(ascii: "[") { _ = try next() }
    try skip(Self.isSpace)
    if let byte = rest.first, !Self.beginsKey(byte), byte != UInt8(ascii: "]") {
      throw refused("this is not TOML: the name of a table is expected after [")
    }
  }

  /// What follows the first quote of a text.
  private mutating func skipText(quote: UInt8) throws(SettingsError) {
    let isMultiline = rest.starts(with: [quote, quote])
    if isMultiline { rest = rest.dropFirst(2) }
    while let byte = try next() {
      switch byte {
      case quote where !isMultiline: return
      case quote where rest.starts(with: [quote, quote]):
        // Up to two quotes before the three that end it belong to the text.
        rest = rest.dropFirst(2)
        for _ in 0..<2 where rest.first == quote { rest.removeFirst() }
        return
      case UInt8(ascii: "\\") where quote == UInt8(ascii: "\""):
        if rest.starts(with: "u0000".utf8) || rest.starts(with: "U00000000".utf8) { throw refusedNUL }
        _ = try next()
      case Self.newline where !isMultiline: return
      default: break
      }
    }
  }

  // MARK: Bytes

  private mutating func next() throws(SettingsError) -> UInt8? {
    guard let byte = rest.popFirst() else { return nil }
    if byte == 0 { throw refusedNUL }
    if byte == Self.newline { line += 1 }
    return byte
  }

  private mutating func skip(_ isSkipped: (UInt8) -> Bool) throws(SettingsError) {
    while let byte = rest.first, isSkipped(byte) { _ = try next() }
  }

  private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]
  private static let newline = UInt8(ascii: "\n")

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
  }

  private static func beginsKey(_ byte: UInt8) -> Bool {
    switch Unicode.Scalar(byte) {
    case "a"..."z", "A"..."Z", "0"..."9", "_", "-", "\"", "'": true
    default: false
    }
  }

  private static func endsKey(_ byte: UInt8) -> Bool {
    switch Unicode.Scalar(byte) {
    case "\n", "=", ",", "[", "]", "{", "}": true
    default: false
    }
  }

  // MARK: Errors

  private var refusedNUL: SettingsError { refused("there is a NUL, which nothing in a configuration may have") }

  private func refused(_ reason: String) -> SettingsError { SettingsError("\(path):\(line): \(reason)") }
}
