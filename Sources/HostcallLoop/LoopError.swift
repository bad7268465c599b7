import CLibuv

/// What the operating system or libuv refused, in words for a terminal.
///
/// Reads `cannot listen on /run/x.sock: permission denied (choose another path with --socket)`.
package struct LoopError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was attempted, to follow "cannot": `listen on /run/x.sock`.
  package let attempted: String
  /// The `errno` value, positive.
  ///
  /// A libuv code is the negative of one on Linux and is kept as that `errno` value.
  package let code: Int32
  /// What came back, in lower case: `permission denied`.
  package let reason: String
  /// What to do about it, if something is known.
  package let advice: String?

  /// Makes an error from an `errno` value or a libuv code; `reason` replaces the system's own text.
  package init(attempted: String, code: Int32, reason: String? = nil, advice: String? = nil) {
    self.attempted = attempted
    self.code = code < 0 ? -code : code
    self.reason = reason ?? LoopError.text(ofCode: self.code)
    self.advice = advice
  }

  package var description: String {
    let sentence = "cannot \(attempted): \(reason)"
    guard let advice else { return sentence }
    return "\(sentence) (\(advice))"
  }

  /// The text of an `errno` value, in libuv's wording: one lower-case phrase.
  package static func text(ofCode code: Int32) -> String {
    // `uv_strerror` leaks for codes it does not know, and `strerror` is not safe among threads; this one is both.
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
      String(cString: uv_strerror_r(-code, buffer.baseAddress, buffer.count))
    }
  }
}
