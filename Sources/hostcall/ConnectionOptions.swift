import ArgumentParser
import HostcallClient
import HostcallWire

/// How a command finds its daemon.
struct ConnectionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The daemon's socket (default: $HOSTCALL_SOCKET, else see hostcall --help).", valueName: "path"),
    completion: .file())
  var socket: String?

  /// Connects; a command that ends with its connection does not connect again.
  func connect(reconnect: ReconnectPolicy = .never) async throws(HostcallError) -> HostcallClient {
    try await HostcallClient.connect(
      HostcallClient.Configuration(
        socketPath: socket, clientName: "hostcall/\(HostcallVersion.current)", reconnect: reconnect))
  }

  func validate() throws {
    if socket?.isEmpty == true { throw ValidationError("--socket must be the path of a socket.") }
  }
}
