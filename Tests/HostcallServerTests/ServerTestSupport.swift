import HostcallClient
import HostcallServer
import HostcallTestSupport
import Testing

/// A server that listens in a folder of its own, and clients of it.
final class TestServer: Sendable {
  let folder = TemporaryFolder()
  let server: HostcallServer

  init(_ change: (inout HostcallServer.Configuration) -> Void = { _ in }) async throws {
    var configuration = HostcallServer.Configuration(socketPath: folder.file("s"))
    change(&configuration)
    server = try HostcallServer(configuration)
    try await server.start()
  }

  var socketPath: String { folder.file("s") }

  func client() async throws -> HostcallClient {
    var configuration = HostcallClient.Configuration()
    configuration.socketPath = socketPath
    configuration.reconnect = .never
    // The machine may be busy; what is tested here is not how fast.
    configuration.connectTimeout = .seconds(60)
    return try await HostcallClient.connect(configuration)
  }
}

/// The error that something is refused with.
func failure<Value>(_ body: () async throws(HostcallError) -> Value) async throws -> HostcallError {
  do {
    _ = try await body()
  } catch {
    return error
  }
  throw Unexpected(description: "it succeeded and should have failed")
}

struct Unexpected: Error, CustomStringConvertible {
  let description: String
}

/// Opens once; whoever waits goes on then, and so does who comes later.
actor Gate {
  private var isOpen = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func open() {
    isOpen = true
    for continuation in waiting { continuation.resume() }
    waiting = []
  }

  func wait() async {
    if isOpen { return }
    await withCheckedContinuation { waiting.append($0) }
  }
}
