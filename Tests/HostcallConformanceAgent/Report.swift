import Glibc
import HostcallClient
import Synchronization

/// One line for the driver: a tag, a word that says what, and values by key. What is nothing, or the default, is left
/// out.
struct Report: Sendable {
  private var line: [UInt8]

  init(_ tag: String, _ word: String) {
    line = Array("\(tag) \(word)".utf8)
  }

  /// Writes the line to standard output, whole.
  func print() {
    Self.output.withLock { _ in
      var rest = (line + [0x0a])[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
        // Nobody reads any more: the driver is gone, and the end of the input follows.
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
      }
    }
  }

  /// Held while a line is written.
  private static let output = Mutex<Void>(())

  func with(_ key: String, _ value: String) -> Report {
    var report = self
    report.line += Array(" \(key)=\(value)".utf8)
    return report
  }

  func with(_ key: String, _ bytes: [UInt8]) -> Report {
    if bytes.isEmpty { return self }
    var report = self
    report.line += Array(" \(key)=".utf8)
    Hexadecimal.append(bytes, to: &report.line)
    return report
  }

  func with(_ payload: [UInt8], _ encoding: PayloadEncoding) -> Report {
    let report = with("payload", payload)
    return encoding == .raw ? report : report.with("encoding", "\(encoding.rawValue)")
  }

  func with(_ metadata: Metadata) -> Report {
    if metadata.isEmpty { return self }
    var report = self
    for (place, entry) in metadata.entries.enumerated() {
      report.line += Array("\(place == 0 ? " metadata=" : ",")\(entry.key):".utf8)
      Hexadecimal.append(Array(entry.value.utf8), to: &report.line)
    }
    return report
  }

  func with(correlation id: UInt64?) -> Report {
    id.map { with("correlation", "\($0)") } ?? self
  }
}

extension Report {
  /// It has been done.
  static func done(_ tag: String) -> Report {
    Report(tag, "done")
  }

  /// It has come to nothing.
  static func error(_ tag: String, _ error: HostcallError) -> Report {
    var report = Report(tag, "error").with("code", code(error)).with("origin", "\(error.origin)")
    if let status = error.status {
      report = report.with("status", status.isApplicationDefined ? "\(status.rawValue)" : "\(status)")
    }
    return report.with(error.payload, error.encoding).with(error.metadata).with(correlation: error.correlationID)
      .with("message", Array("\(error)".utf8))
  }

  private static func code(_ error: HostcallError) -> String {
    switch error.code {
    case .cannotConnect: "cannot-connect"
    case .connectionLost: "connection-lost"
    case .closed: "closed"
    case .invalidArgument: "invalid-argument"
    default: "status"
    }
  }

  /// What a call came back with.
  static func result(_ tag: String, _ response: HostcallResponse) -> Report {
    Report(tag, "result").with(response.payload, response.encoding).with(response.metadata)
      .with(correlation: response.correlationID)
  }

  /// An item has been taken.
  static func item(_ tag: String, _ item: HostcallItem) -> Report {
    Report(tag, "item").with(item.payload, item.encoding)
  }

  /// An event has been taken.
  static func event(_ tag: String, _ event: HostcallEvent) -> Report {
    let report = Report(tag, "event").with("name", event.name).with(event.payload, event.encoding).with(event.metadata)
      .with("dropped", "\(event.droppedBefore)")
    return event.followsGap ? report.with("gap", "yes") : report
  }

  /// A call has come to a function of this agent.
  static func invoke(_ tag: String, call: String, _ request: HostcallRequest) -> Report {
    let left = request.timeLeft.components
    let milliseconds = left.seconds * 1_000 + left.attoseconds / 1_000_000_000_000_000
    return Report(tag, "invoke").with("call", call).with("name", request.function)
      .with(request.payload, request.encoding).with(request.metadata).with("left", "\(milliseconds)")
      .with(correlation: request.correlationID)
  }
}
