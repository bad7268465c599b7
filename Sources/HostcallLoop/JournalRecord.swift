import Glibc

/// One event as the journal of systemd takes it: fields, of which `journalctl HOSTCALL_CALL=…` finds those of one call.
///
/// `MESSAGE` is what a line of the log would be, `HOSTCALL_EVENT` what happened, and each thing that is told of it a field
/// of its own: `HOSTCALL_CALL`, `HOSTCALL_FUNCTION`, `HOSTCALL_PEER_UID`, `HOSTCALL_PEER_PID`, `HOSTCALL_PEER_UNIT` and
/// others after their keys.
package enum JournalRecord {
  /// Where records go.
  package static let socketPath = "/run/systemd/journal/socket"
  /// Bytes of the longest value; what is longer is cut.
  private static let longestValueBytes = 4_096

  /// Whether a descriptor goes to the journal, as the service manager says: `JOURNAL_STREAM` has device and number.
  package static func isJournal(_ descriptor: Int32, stream: String?) -> Bool {
    var status = stat()
    guard let stream, fstat(descriptor, &status) == 0 else { return false }
    return stream == "\(status.st_dev):\(status.st_ino)"
  }

  /// The bytes of a record.
  ///
  /// - Parameters:
  ///   - priority: as of syslog: 7 for debugging to 0.
  ///   - line: what a line of the log would be.
  ///   - event: what happened.
  ///   - fields: what is told of it.
  package static func encode(
    priority: Int, line: String, event: String, fields: [(key: String, value: String)]
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    append("MESSAGE", line, to: &bytes)
    append("PRIORITY", "\(priority)", to: &bytes)
    append("SYSLOG_IDENTIFIER", "hostcalld", to: &bytes)
    append("HOSTCALL_EVENT", event, to: &bytes)
    for (key, value) in fields { append(name(of: key), value, to: &bytes) }
    return bytes
  }

  /// The field that a key of the log becomes.
  package static func name(of key: String) -> String {
    switch key {
    case "uid", "pid", "unit": "HOSTCALL_PEER_\(key.uppercased())"
    default:
      "HOSTCALL_" + String(key.uppercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }
  }

  /// A value with a new line in it is written with its size in front, so that it cannot begin a field.
  private static func append(_ name: String, _ value: String, to bytes: inout [UInt8]) {
    let value = value.utf8.prefix(longestValueBytes)
    bytes += name.utf8
    if value.contains(UInt8(ascii: "\n")) {
      bytes.append(UInt8(ascii: "\n"))
      withUnsafeBytes(of: UInt64(value.count).littleEndian) { bytes += $0 }
    } else {
      bytes.append(UInt8(ascii: "="))
    }
    bytes += value
    bytes.append(UInt8(ascii: "\n"))
  }
}
