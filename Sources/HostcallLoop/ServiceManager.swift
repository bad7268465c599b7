import CLibuv
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

  // MARK: Its store of descriptors

  /// How long the manager may take to take what it is told, in milliseconds.
  package static let barrierMilliseconds: Int32 = 5_000

  /// Gives the manager a descriptor to keep, beyond the end of this process, and returns when it has it. The next process
  /// of the service gets it as an inherited one of this name.
  ///
  /// Errors: the manager cannot be told, or does not listen for ``barrierMilliseconds``. That it keeps no descriptors for
  /// this service it does not say.
  package func keep(_ descriptor: Int32, name: String) throws(LoopError) {
    let attempted = "give the service manager at \(address) a descriptor to keep"
    // FDPOLL=0: whatever becomes of the other end is for the next process to see.
    // There is one of a name, and never an older one.
    try letGo(of: name)
    try UnixSocket.sendDatagram(
      Array("FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0".utf8), descriptors: [descriptor], to: address, mayWait: true,
      attempted: attempted)
    try waitUntilHeard(attempted)
  }

  /// The manager need not keep the descriptors of this name any longer; waits until it can be told.
  package func letGo(of name: String) throws(LoopError) {
    try UnixSocket.sendDatagram(
      Array("FDSTOREREMOVE=1\nFDNAME=\(name)".utf8), to: address, mayWait: true,
      attempted: "have the service manager at \(address) let go of a descriptor")
  }

  /// Waits until everything that the manager was told before has been taken in.
  private func waitUntilHeard(_ attempted: String) throws(LoopError) {
    var ends: (reading: Int32, writing: Int32) = (-1, -1)
    let code = withUnsafeMutableBytes(of: &ends) {
      pipe2($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Int32.self), O_CLOEXEC)
    }
    guard code == 0 else { throw LoopError(attempted: attempted, code: errno) }
    defer { close(ends.reading) }
    do throws(LoopError) {
      try UnixSocket.sendDatagram(
        Array("BARRIER=1".utf8), descriptors: [ends.writing], to: address, mayWait: true, attempted: attempted)
      close(ends.writing)
    } catch {
      close(ends.writing)
      throw error
    }
    // The manager closes its copy of the writing end when it has come so far.
    var interest = pollfd(fd: ends.reading, events: 0, revents: 0)
    guard poll(&interest, 1, Self.barrierMilliseconds) > 0 else {
      throw LoopError(
        attempted: attempted, code: ETIMEDOUT,
        reason: "it has not taken it in within \(Self.barrierMilliseconds) ms")
    }
  }

  /// A value cannot begin the next assignment.
  private static func oneLine(_ value: String) -> String {
    String(value.map { $0.isNewline ? " " : $0 })
  }
}
