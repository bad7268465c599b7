import Glibc
import HostcallServer
import HostcallWire
import Logging

/// A running daemon: a server, its log and its signals.
struct Daemon {
  private let server: HostcallServer

  init(_ settings: Settings, socketPath: String) throws {
    // A reader of the log that goes away must not take the daemon along.
    signal(SIGPIPE, SIG_IGN)
    let descriptors = Self.raiseDescriptorLimit()
    LoggingSystem.bootstrap { _ in JournalLogHandler(level: settings.logLevel) }
    let logger = Logger(label: "hostcalld")
    logger.info(
      "starting",
      metadata: [
        "version": "\(HostcallVersion.current)", "pid": "\(getpid())", "descriptors": "\(descriptors)",
      ])
    var configuration = HostcallServer.Configuration(socketPath: socketPath)
    configuration.socketMode = settings.socketMode
    configuration.shutdownGrace = .milliseconds(settings.shutdownGraceMilliseconds)
    configuration.limits = settings.limits
    configuration.onEvent = { event in Self.log(event, to: logger) }
    server = try HostcallServer(configuration)
  }

  /// Serves until SIGTERM or SIGINT; the second one of them ends all calls at once.
  func run() async throws {
    do {
      // Before the socket is there, so that nobody who finds it can end the daemon in the middle of its start.
      try await server.leave(on: [SIGTERM, SIGINT])
      try await server.run()
    } catch {
      // The process must not exit while the loop is closing its signals: libuv takes its own state down at exit.
      await server.shutdownNow()
      throw error
    }
  }

  /// As many open files as the system lets this process have; gives the number.
  private static func raiseDescriptorLimit() -> UInt64 {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return UInt64(limit.rlim_cur)
  }

  private static func log(_ event: ServerEvent, to logger: Logger) {
    let level: Logger.Level =
      switch event.level {
      case .debug: .debug
      case .info: .info
      case .notice: .notice
      case .warning: .warning
      case .error: .error
      }
    logger.log(level: level, "\(event.message)", metadata: JournalLogHandler.metadata(event.fields))
  }
}
