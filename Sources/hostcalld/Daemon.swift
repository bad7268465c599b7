import Glibc
import HostcallConfiguration
import HostcallLoop
import HostcallServer
import HostcallWire
import Logging

/// A running daemon: a server, its log and its signals.
struct Daemon {
  private let server: HostcallServer
  private let writer: LineWriter
  private let logger: Logger
  private let source: SettingsSource
  private let settings: Settings
  private let socketPath: String
  private let notification: ServiceNotification?

  init(_ settings: Settings, from source: SettingsSource, socketPath: String) throws {
    self.settings = settings
    self.source = source
    self.socketPath = socketPath
    // A peer that goes away must not take the daemon along, nor a terminal that does before SIGHUP means something.
    signal(SIGPIPE, SIG_IGN)
    signal(SIGHUP, SIG_IGN)
    signal(SIGUSR2, SIG_IGN)
    let descriptors = Self.raiseDescriptorLimit()
    let writer = try JournalLogHandler.makeWriter(queuedLines: settings.logQueuedLines)
    self.writer = writer
    LoggingSystem.bootstrap { _ in JournalLogHandler(level: settings.logLevel, writer: writer) }
    let logger = Logger(label: "hostcalld")
    self.logger = logger
    logger.info(
      "starting",
      metadata: JournalLogHandler.metadata([
        ("version", "\(HostcallVersion.current)"), ("pid", "\(getpid())"), ("descriptors", "\(descriptors)"),
        ("rules", "\(settings.policy.rules.count)"),
      ]))
    var configuration = HostcallServer.Configuration(socketPath: socketPath)
    configuration.socketMode = settings.socketMode
    configuration.shutdownGrace = .milliseconds(settings.shutdownGraceMilliseconds)
    configuration.limits = settings.limits
    configuration.limitsByUser = settings.limitsByUser
    configuration.policy = settings.policy
    configuration.workers = settings.workers
    configuration.onEvent = { event in Self.log(event, to: logger) }
    configuration.tracesCalls = settings.logLevel <= .debug
    do {
      let notification = try ServiceNotification(logger: logger)
      self.notification = notification
      let inheritance = try InheritedSocket.takeAll(
        environment: { name in getenv(name).map { String(cString: $0) } }, processID: getpid(),
        keptName: Restart.keptName
      )
      configuration.inheritedSockets = inheritance.sockets
      configuration.handedOver = Restart.takeOver(inheritance.kept, notification, logger)
      if settings.idleMilliseconds > 0, !configuration.inheritedSockets.isEmpty {
        configuration.idleMilliseconds = UInt64(settings.idleMilliseconds)
      }
      configuration.pulseMilliseconds = notification?.pulseMilliseconds
      if let notification { configuration.onNews = { notification.tell($0) } }
      server = try HostcallServer(configuration)
    } catch {
      _ = writer.finish(withinMilliseconds: settings.logFlushMilliseconds)
      throw error
    }
  }

  /// Serves until SIGTERM or SIGINT; the second one of them ends all calls at once. SIGHUP reads the configuration again,
  /// SIGUSR2 makes room for another process that takes everything over.
  func run() async throws {
    // What comes while the last one is read means that it is read once more.
    let (hangUps, hangUp) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let reloading = Task(executorPreference: ThreadExecutor.main) {
      var reloading = Reloading(source, server, logger, started: settings, socketPath: socketPath)
      for await _ in hangUps {
        notification?.reloadBegins()
        await reloading.reload()
        notification?.reloadHasEnded()
      }
    }
    defer {
      hangUp.finish()
      reloading.cancel()
      // Who reads the log has that long to take the rest.
      _ = writer.finish(withinMilliseconds: settings.logFlushMilliseconds)
    }
    do {
      // Before the socket is there, so that nobody who finds it can end the daemon in the middle of its start.
      try await server.leave(on: [SIGTERM, SIGINT])
      try await server.onSignal(SIGHUP) { hangUp.yield() }
      let restart = Restart(notification: notification, writer: writer, settings: settings)
      try await server.handOver(on: SIGUSR2) { try restart.leave($0) }
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

  static func log(_ event: ServerEvent, to logger: Logger) {
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
