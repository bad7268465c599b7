import Glibc
import HostcallFunctions

/// Lines for people on standard error.
enum Diagnostics {
  /// Writes `hostcall: …` as one line. What cannot be written is lost.
  static func write(_ message: String) {
    try? StandardStreams.write(Array("hostcall: \(oneLine(message))\n".utf8), to: STDERR_FILENO)
  }

  /// How long a note waits for a reader of standard error.
  static let longestNoteWaitMilliseconds: Int32 = 1_000

  /// As `write`, but where nobody reads standard error the note is lost, rather than what goes on held up.
  static func note(_ message: String) {
    var interest = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
    if poll(&interest, 1, longestNoteWaitMilliseconds) > 0 { write(message) }
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
