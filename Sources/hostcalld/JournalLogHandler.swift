import Glibc
import HostcallLoop
import Logging

/// Makes each event one line of standard error: message, then `key=value` in the order given. Never waits for a reader.
///
/// Where standard error is not a terminal, each line begins with the priority prefix that journald reads: `<6>`. Where it
/// goes to the journal, each event becomes a record there instead, with fields, see ``JournalRecord``.
struct JournalLogHandler: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  private let writer: LineWriter

  init(level: Logger.Level, writer: LineWriter) {
    logLevel = level
    self.writer = writer
  }

  /// A writer to where standard error goes.
  ///
  /// Errors: a limit on threads or memory is met.
  static func makeWriter(queuedLines: Int) throws(LoopError) -> LineWriter {
    if goesToJournal {
      return try LineWriter(journal: JournalRecord.socketPath, queuedRecords: queuedLines) { records in
        JournalRecord.encode(
          priority: priority(.warning), line: "log lines lost lines=\(records)", event: "log lines lost",
          fields: [("lines", "\(records)")])
      }
    }
    return try LineWriter(STDERR_FILENO, queuedLines: queuedLines) { lines in
      (standardErrorHasPrefix ? prefix(.warning) : "") + "log lines lost lines=\(lines)"
    }
  }

  private static let standardErrorHasPrefix = isatty(STDERR_FILENO) == 0
  private static let goesToJournal = JournalRecord.isJournal(
    STDERR_FILENO, stream: getenv("JOURNAL_STREAM").map { String(cString: $0) })

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let fields = Self.ordered(event.metadata ?? [:])
    var line = Self.escape(event.message.description)
    for (key, value) in fields { line += " \(key)=\(Self.quote(value))" }
    if Self.goesToJournal {
      writer.append(
        record: JournalRecord.encode(
          priority: Self.priority(event.level), line: line, event: event.message.description, fields: fields))
    } else {
      writer.append((Self.standardErrorHasPrefix ? Self.prefix(event.level) : "") + line)
    }
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
  private static func priority(_ level: Logger.Level) -> Int {
    switch level {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }

  private static func prefix(_ level: Logger.Level) -> String {
    "<\(priority(level))>"
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
