import Glibc
import HostcallLoop
import Logging

/// Makes each event one line of standard error: message, then `key=value` in the order given. Never waits for a reader.
///
/// Where standard error is not a terminal, each line begins with the priority prefix that journald reads: `<6>`.
struct JournalLogHandler: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  private let writer: LineWriter
  private let hasPrefix: Bool

  init(level: Logger.Level, writer: LineWriter) {
    logLevel = level
    self.writer = writer
    hasPrefix = Self.standardErrorHasPrefix
  }

  /// What the writer is to say when lines were lost.
  static func lossLine(_ lines: UInt64) -> String {
    (standardErrorHasPrefix ? prefix(.warning) : "") + "log lines lost lines=\(lines)"
  }

  private static let standardErrorHasPrefix = isatty(STDERR_FILENO) == 0

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var line = hasPrefix ? Self.prefix(event.level) : ""
    line += Self.escape(event.message.description)
    for (key, value) in Self.ordered(event.metadata ?? [:]) {
      line += " \(key)=\(Self.quote(value))"
    }
    writer.append(line)
  }

  // MARK: Order

  /// Metadata is a dictionary; the number in front of each key keeps the order in which fields were given.
  static func metadata(_ fields: [(key: String, value: String)]) -> Logger.Metadata {
    var metadata: Logger.Metadata = [:]
    for (index, field) in fields.enumerated() {
      metadata["\(index):\(field.key)"] = .string(field.value)
    }
    return metadata
  }

  private static func ordered(_ metadata: Logger.Metadata) -> [(key: String, value: String)] {
    metadata.sorted { $0.key < $1.key }.map { key, value in
      (String(key.drop { $0.isNumber || $0 == ":" }), "\(value)")
    }
  }

  // MARK: Text

  /// The syslog priority of a level.
  private static func prefix(_ level: Logger.Level) -> String {
    switch level {
    case .trace, .debug: "<7>"
    case .info: "<6>"
    case .notice: "<5>"
    case .warning: "<4>"
    case .error: "<3>"
    case .critical: "<2>"
    }
  }

  /// In quotes where it would not read as one word.
  private static func quote(_ value: String) -> String {
    let isWord =
      !value.isEmpty
      && value.unicodeScalars.allSatisfy { $0.value > 0x20 && $0 != "\"" && $0 != "=" && $0.value < 0x7f }
    return isWord ? value : "\"\(escape(value))\""
  }

  /// Without anything that would begin a new line, end the quotes or steer a terminal.
  private static func escape(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": escaped += "\\n"
      case "\"", "\\": escaped += "\\\(scalar)"
      default: escaped += scalar.value < 0x20 || scalar.value == 0x7f ? "?" : String(scalar)
      }
    }
    return escaped
  }
}
