import Glibc

/// What the service manager that has started this process wants to be told, as sd_notify(3) describes it: assignments in a
/// datagram to the socket that `NOTIFY_SOCKET` names.
///
/// Thread: any. Nothing here waits: a manager that does not read loses what it is told.
package struct ServiceManager: Sendable {
  /// How often the watchdog of the manager has to hear of this process, in microseconds; nil where it has none.
  package let watchdogMicroseconds: UInt64?
  /// A path, or a name in the abstract namespace with `@` in front.
  private let address: String

  /// The manager that the environment names; nil where there is none.
  ///
  /// Errors: the socket that it names cannot be one.
  package init?(environment: (String) -> String?, processID: Int32) throws(LoopError) {
    guard let address = environment("NOTIFY_SOCKET"), !address.isEmpty else { return nil }
    self.address = address
    // The watchdog of another process is none of ours.
    let isOurs = environment("WATCHDOG_PID").map { $0 == "\(processID)" } ?? true
    let microseconds = environment("WATCHDOG_USEC").flatMap { UInt64($0) }
    watchdogMicroseconds = isOurs ? microseconds.flatMap { $0 > 0 ? $0 : nil } : nil
    guard address.hasPrefix("/") || address.hasPrefix("@"), address.utf8.count <= UnixSocket.maximumPathBytes else {
      throw LoopError(
        attempted: "tell the service manager at \(address)", code: EINVAL,
        reason: "NOTIFY_SOCKET names neither a path nor an abstract socket of at most "
          + "\(UnixSocket.maximumPathBytes) bytes")
    }
  }

  /// Tells what has become so, such as `READY` is `1`; the manager sees all of it at once.
  package func tell(_ assignments: [(key: String, value: String)]) throws(LoopError) {
    let text = assignments.map { "\($0.key)=\(Self.oneLine($0.value))" }.joined(separator: "\n")
    try UnixSocket.sendDatagram(Array(text.utf8), to: address, attempted: "tell the service manager at \(address)")
  }

  /// A value cannot begin the next assignment.
  private static func oneLine(_ value: String) -> String {
    String(value.map { $0.isNewline ? " " : $0 })
  }
}
