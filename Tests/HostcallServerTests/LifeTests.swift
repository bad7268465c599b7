import Glibc
import HostcallClient
import HostcallServer
import HostcallTestSupport
import Testing

@Suite("A server begins and ends cleanly")
struct LifeTests {
  @Test func withoutASocketItServesItsOwnProcess() async throws {
    let server = try HostcallServer()
    try await server.register("app.version") { _ in "1.4" }
    #expect(try await server.call("app.version").text == "1.4")
    try await server.start()
    #expect(try await server.call("app.version").text == "1.4")
    await server.shutdown()
  }

  @Test func builtInFunctionsAnswer() async throws {
    let test = try await TestServer()
    let client = try await test.client()
    #expect(try await client.call("hostcall.echo", "hello", encoding: .json).encoding == .json)
    for name in ["info", "functions", "peers", "calls", "stats"] {
      let response = try await client.call("hostcall.\(name)")
      #expect(response.encoding == .json)
      #expect(!response.payload.isEmpty)
    }
    #expect(try await client.call("hostcall.info").text.contains("\"queued-calls-per-function\":1024"))
    await client.close()
    await test.server.shutdown()
  }

  @Test func aRunningCallEndsWithinTheGraceAndNewOnesAreRefused() async throws {
    let test = try await TestServer()
    let client = try await test.client()
    let started = Gate()
    let go = Gate()
    try await test.server.register("slow") { _ in
      await started.open()
      await go.wait()
      return "done"
    }
    async let running = client.call("slow")
    await started.wait()
    let end = Task { await test.server.shutdown() }
    while true {
      let error = try await failure { () async throws(HostcallError) in
        try await test.server.call("nobody.has.it")
      }
      if error.status == .shuttingDown { break }
    }
    await go.open()
    #expect(try await running.text == "done")
    await end.value
    #expect(access(test.socketPath, F_OK) != 0)
  }

  @Test func whatOutlastsTheGraceEndsWithShuttingDown() async throws {
    let test = try await TestServer { $0.shutdownGrace = .milliseconds(20) }
    let client = try await test.client()
    let started = Gate()
    let cancelled = Gate()
    try await test.server.register("stuck") { _ in
      await started.open()
      await withTaskCancellationHandler {
        await cancelled.wait()
      } onCancel: {
        Task { await cancelled.open() }
      }
      return "late"
    }
    let call = Task { try await failure { () async throws(HostcallError) in try await client.call("stuck") } }
    await started.wait()
    await test.server.shutdown()
    #expect(try await call.value.status == .shuttingDown)
    await cancelled.wait()
  }

  @Test func afterTheEndCallsFailAtOnce() async throws {
    let server = try HostcallServer()
    await server.shutdown()
    let error = try await failure { () async throws(HostcallError) in try await server.call("hostcall.echo") }
    #expect(error.code == .closed)
    let refused = try await failure { () async throws(HostcallError) in try await server.register("a") { _ in "" } }
    #expect(refused.code == .closed)
  }

  @Test func aServerThatIsLetGoOfGivesItsPathBack() async throws {
    let folder = TemporaryFolder()
    do {
      let server = try HostcallServer(.init(socketPath: folder.file("s")))
      try await server.start()
      #expect(access(folder.file("s"), F_OK) == 0)
    }
    // A second one can have the path as soon as the first has gone, which happens on its own thread.
    var attempts = 0
    while true {
      do {
        let server = try HostcallServer(.init(socketPath: folder.file("s")))
        try await server.start()
        await server.shutdown()
        break
      } catch {
        attempts += 1
        try #require(attempts < 100_000, "\(error)")
        await Task.yield()
      }
    }
  }

  @Test func twoServersNeverHaveOnePath() async throws {
    let test = try await TestServer()
    let second = try HostcallServer(.init(socketPath: test.socketPath))
    await #expect(throws: ServerError.self) { try await second.start() }
    let client = try await test.client()
    #expect(try await client.call("hostcall.echo", "still here").text == "still here")
    await client.close()
    await test.server.shutdown()
    await second.shutdown()
  }

  @Test func aStaleSocketIsReplacedAndAnotherFileIsNot() async throws {
    let folder = TemporaryFolder()
    let descriptor = try #require(StaleSocket.make(at: folder.file("stale")))
    close(descriptor)
    let server = try HostcallServer(.init(socketPath: folder.file("stale")))
    try await server.start()
    await server.shutdown()
    close(open(folder.file("file"), O_CREAT | O_WRONLY, 0o600))
    let refused = try HostcallServer(.init(socketPath: folder.file("file")))
    await #expect(throws: ServerError.self) { try await refused.start() }
    #expect(access(folder.file("file"), F_OK) == 0)
    await refused.shutdown()
  }

  @Test func aLimitThatMakesNoSenseIsRefusedByItsName() throws {
    var configuration = HostcallServer.Configuration()
    configuration.limits.rememberedOutcomes = 3
    let error = #expect(throws: ServerError.self) { try HostcallServer(configuration) }
    #expect(error?.description == "cannot start: the limit remembered-outcomes is 3 (choose 1024 to 100000)")
  }
}

/// A socket file that nobody listens on.
enum StaleSocket {
  static func make(at path: String) -> Int32? {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let outcome = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    return outcome == 0 ? descriptor : nil
  }
}
