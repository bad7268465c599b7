/// A configuration that cannot be used. Says which file, which line, what is wrong and what would be right, in one line.
package struct SettingsError: Error, CustomStringConvertible {
  package let description: String

  /// Takes what is to be said; keys and values of the file in it may be any text.
  init(_ description: String) {
    self.description = description.unicodeScalars.map(Self.printable).joined()
  }

  /// A character as it is, or as TOML writes it where it would begin a line or steer a terminal.
  static func printable(_ scalar: Unicode.Scalar) -> String {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator:
      let digits = String(scalar.value, radix: 16)
      return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: return String(scalar)
    }
  }
}
