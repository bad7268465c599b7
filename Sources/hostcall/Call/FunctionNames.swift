import HostcallClient
import HostcallClientJSON
import HostcallWire

/// The names of functions, for a shell that completes one.
enum FunctionNames {
  /// Those that the daemon knows now; none where it cannot be asked.
  @Sendable
  static func complete(_ arguments: [String], _ index: Int, _ prefix: String) async -> [String] {
    let socket = arguments.firstIndex(of: "--socket").map { arguments.index(after: $0) }
    var configuration = HostcallClient.Configuration(
      socketPath: socket.flatMap { arguments.indices.contains($0) ? arguments[$0] : nil },
      clientName: "hostcall/\(HostcallVersion.current)", reconnect: .never)
    configuration.connectTimeout = .seconds(1)
    guard let client = try? await HostcallClient.connect(configuration),
      let response = try? await client.call("hostcall.functions", timeout: .seconds(1)),
      let functions = try? response.decode([FunctionReport].self)
    else { return [] }
    // A pattern cannot be called.
    return functions.map(\.name).filter { NameRules.isName($0) && $0.hasPrefix(prefix) }
  }
}
