import Glibc
import HostcallLoop
import HostcallServer
import Logging

/// Tells the service manager how the daemon is, by the protocol of sd_notify(3).
///
/// Thread: any. What cannot be told is logged once and costs nothing else: the daemon serves on.
final class ServiceNotification: Sendable {
  /// Added to what ending takes, for the log and the rest of the way out, in milliseconds.
  private static let marginMilliseconds: UInt64 = 5_000

  private let manager: ServiceManager
  private let logger: Logger
  private let hasFailed = HeapLock(false)

  /// Nil where no service manager wants to hear anything.
  ///
  /// Errors: `NOTIFY_SOCKET` cannot be a socket.
  init?(logger: Logger) throws(LoopError) {
    let manager = try ServiceManager(
      environment: { name in getenv(name).map { String(cString: $0) } }, processID: getpid())
    guard let manager else { return nil }
    self.manager = manager
    self.logger = logger
  }

  /// How often the loop has to show that it turns, in milliseconds: twice in the time that the watchdog waits; nil where
  /// there is no watchdog.
  var pulseMilliseconds: UInt64? {
    manager.watchdogMicroseconds.map { max(1, $0 / 2_000) }
  }

  func tell(_ news: ServerNews) {
    switch news {
    case .serving: tell([("READY", "1"), ("STATUS", "serving")])
    case .load(let load): tell([("STATUS", Self.status(load))])
    case .pulse: tell([("WATCHDOG", "1")])
    case .leaving(let milliseconds):
      let microseconds = (milliseconds + Self.marginMilliseconds) * 1_000
      tell([
        ("STOPPING", "1"), ("STATUS", "stopping, running calls may end"), ("EXTEND_TIMEOUT_USEC", "\(microseconds)"),
      ])
    }
  }

  /// The configuration is being read again. ``reloadHasEnded()`` follows.
  func reloadBegins() {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    tell([("RELOADING", "1"), ("MONOTONIC_USEC", "\(now.tv_sec * 1_000_000 + now.tv_nsec / 1_000)")])
  }

  func reloadHasEnded() {
    tell([("READY", "1")])
  }

  private static func status(_ load: ServerLoad) -> String {
    func count(_ number: Int, _ one: String, _ many: String) -> String { "\(number) \(number == 1 ? one : many)" }
    return count(load.connections, "connection", "connections") + ", "
      + count(load.callsInFlight, "call", "calls") + " in flight"
  }

  /// Gives the service manager a descriptor to keep for the next process.
  ///
  /// Errors: it does not take it.
  func keep(_ descriptor: Int32, name: String) throws(LoopError) {
    tell([("STATUS", "handing over to the next process")])
    try manager.keep(descriptor, name: name)
  }

  /// What was kept under a name is not wanted any more.
  func letGo(of name: String) {
    attempt { () throws(LoopError) in try manager.letGo(of: name) }
  }

  private func tell(_ assignments: [(key: String, value: String)]) {
    attempt { () throws(LoopError) in try manager.tell(assignments) }
  }

  private func attempt(_ body: () throws(LoopError) -> Void) {
    do throws(LoopError) {
      try body()
    } catch {
      let isFirst = hasFailed.withLock { hasFailed in
        defer { hasFailed = true }
        return !hasFailed
      }
      if isFirst {
        logger.warning(
          "service manager not told", metadata: JournalLogHandler.metadata([("error", error.description)]))
      }
    }
  }
}
