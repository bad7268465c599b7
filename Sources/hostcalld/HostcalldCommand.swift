public import ArgumentParser
import Glibc
import HostcallConfiguration
import HostcallLoop
import HostcallServer
import HostcallWire
public import Logging

/// The daemon: reads its arguments and configuration, and runs a server until it is told to stop.
struct HostcalldCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hostcalld",
    abstract: "Passes calls between processes: callers call functions by name, workers answer them.",
    discussion: """
      It listens on the sockets that a service manager hands over. Where there are none, and without --socket, it \
      listens on $HOSTCALL_SOCKET, else on hostcall.sock in $RUNTIME_DIRECTORY, in $XDG_RUNTIME_DIR or, for root, in \
      /run/hostcall. It stays in the foreground and logs to standard error. SIGTERM \
      and SIGINT let running calls end, a second one does not wait. SIGHUP reads the rules of the configuration again.

      Example: hostcalld --socket /tmp/hostcall.sock --log-level debug
      """,
    version: "hostcalld \(HostcallVersion.current)")

  @Option(help: ArgumentHelp("Listen on this path.", valueName: "path"), completion: .file())
  var socket: String?

  @Option(help: ArgumentHelp("Read this configuration file (TOML).", valueName: "file"), completion: .file())
  var config: String?

  @Option(
    help: ArgumentHelp(
      "Log from this level on: trace, debug, info, notice, warning, error or critical.", valueName: "level"))
  var logLevel: Logger.Level?

  @Flag(help: "Check the configuration, print what holds, and leave.")
  var checkConfig = false

  func run() async throws {
    do {
      let source = SettingsSource(file: config, socketPath: socket, logLevel: logLevel)
      let settings = try source.read()
      let path = try SettingsSource.socketPath(settings)
      if checkConfig { return print(settings.description(socketPath: path), terminator: "") }
      try await Daemon(settings, from: source, socketPath: path).run()
    } catch let error as SettingsError {
      throw Self.refused(error.description)
    } catch let error as LoopError {
      throw Self.refused(error.description)
    } catch let error as ServerError {
      throw Self.refused(error.description)
    } catch let error as SocketLocationError {
      throw Self.refused("\(error.description), or use --socket")
    }
  }

  /// One line on standard error, for somebody who reads it within a second; exit status 1.
  private static func refused(_ reason: String) -> ExitCode {
    signal(SIGPIPE, SIG_IGN)
    var interest = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
    if poll(&interest, 1, 1_000) > 0 {
      var line = "hostcalld: \(reason)\n"
      line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
    return ExitCode(1)
  }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
