import Glibc
import HostcallFunctions

/// Lines for people on standard error.
enum Diagnostics {
  /// Writes `hostcall: …` as one line. What cannot be written is lost.
  static func write(_ message: String) {
    try? StandardStreams.write(Array("hostcall: \(oneLine(message))\n".utf8), to: STDERR_FILENO)
  }

  /// Text from anywhere without what would begin a new line or steer a terminal; lines are joined by ` | `.
  static func oneLine(_ text: String) -> String {
    PayloadText.printable(text)
      .split(whereSeparator: \.isNewline)
      .joined(separator: " | ")
  }

  /// What the system calls an error, as the middle of a sentence.
  static func reason(_ code: Int32) -> String {
    let text = String(cString: strerror(code))
    return text.prefix(1).lowercased() + text.dropFirst()
  }
}
