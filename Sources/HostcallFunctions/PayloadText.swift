package import HostcallWire

/// Payloads of errors as text for people.
package enum PayloadText {
  /// The most characters shown.
  static let longest = 1_000

  /// The payload as text where it is text, else how much of what it is.
  package static func text(_ payload: ArraySlice<UInt8>, encoding: PayloadEncoding) -> String {
    guard !payload.isEmpty else { return "" }
    guard encoding == .raw || encoding == .json, let text = String(validating: payload, as: UTF8.self) else {
      return "\(payload.count) bytes, encoding \(encoding)"
    }
    guard text.unicodeScalars.count > longest else { return text }
    return String(text.prefix(longest)) + "…"
  }

  /// Text from another process as it may go to a terminal: without control characters but line feeds and tabs.
  package static func printable(_ text: String) -> String {
    func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
      scalar == "\n" || scalar == "\t" || !(scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value))
    }
    if text.unicodeScalars.allSatisfy(isHarmless) { return text }
    var printable = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { printable.append(isHarmless(scalar) ? scalar : "?") }
    return String(printable)
  }
}
