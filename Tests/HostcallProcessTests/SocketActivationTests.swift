import Glibc
import HostcallLoop
import HostcallTestSupport
import HostcallWire
import Testing

/// A service manager opens the sockets, and starts hostcalld when somebody connects.
@Suite("hostcalld on sockets of a service manager", .timeLimit(.minutes(3)))
struct SocketActivationTests {
  /// Sockets, and the daemons that are started on them one after another.
  private final class Manager {
    let folder = TemporaryFolder()
    private let names: [String]
    private let descriptors: [Int32]

    init(_ names: [String] = ["clients"]) throws {
      let folder = folder
      self.names = names
      descriptors = try names.map { try UnixSocket.listen(path: folder.file($0), backlog: 64, mode: 0o600) }
    }

    deinit {
      for descriptor in descriptors { close(descriptor) }
    }

    /// Starts one, as the manager does: the environment names the process that it has become.
    func start(_ arguments: [String] = [], configuration: String? = nil) throws -> ChildProcess {
      var arguments = arguments
      if let configuration {
        Files.write(configuration.utf8, to: folder.file("hostcalld.toml"))
        arguments += ["--config", folder.file("hostcalld.toml")]
      }
      return try Self.start(arguments, names, descriptors, folder)
    }

    static func start(
      _ arguments: [String], _ names: [String], _ descriptors: [Int32], _ folder: TemporaryFolder
    ) throws -> ChildProcess {
      try ChildProcess(
        "/bin/sh",
        ["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", "\(ChildProcess.productsFolder)/hostcalld"] + arguments,
        environment: [
          "LISTEN_FDS": "\(descriptors.count)", "LISTEN_FDNAMES": names.joined(separator: ":"),
          "RUNTIME_DIRECTORY": folder.path,
        ], errors: folder.file("log"), descriptors: descriptors)
    }

    func log() -> String { String(decoding: Files.read(folder.file("log")), as: UTF8.self) }
  }

  @Test func whoConnectsBeforeItHasStartedIsAnswered() throws {
    let manager = try Manager()
    // Nobody accepts yet.
    let peer = try RawPeer(manager.folder.file("clients"), hello: false)
    try peer.send(Greeting.hello(client: "early/1"))
    try peer.call("hostcall.echo", request: 1, payload: [7])
    let daemon = try manager.start()
    _ = try peer.expect(.welcome)
    #expect(try peer.expect(.result).payload == [7])
    #expect(daemon.stop() == 0)
    // It has ended, so its log is written.
    #expect(manager.log().contains("listening inherited=clients"))
    // The socket is the manager's: it is still there for the next daemon.
    let next = try RawPeer(manager.folder.file("clients"), hello: false)
    try next.send(Greeting.hello(client: "late/1"))
    let second = try manager.start()
    _ = try next.expect(.welcome)
    #expect(second.stop() == 0)
  }

  @Test func administratorsAreTakenWhateverLimitsAreMet() throws {
    let manager = try Manager(["clients", "admin"])
    let daemon = try manager.start(configuration: "[limits]\nconnections = 1\n")
    let first = try RawPeer(manager.folder.file("clients"))
    #expect(throws: (any Error).self) { try RawPeer(manager.folder.file("clients")) }
    let administrator = try RawPeer(manager.folder.file("admin"))
    try administrator.call("hostcall.echo", request: 1, payload: [9])
    #expect(try administrator.expect(.result).payload == [9])
    try first.barrier()
    #expect(daemon.stop() == 0)
  }

  @Test func itLeavesWhenNobodyIsThereAndComesBack() throws {
    let manager = try Manager()
    for _ in 1...3 {
      let peer = try RawPeer(manager.folder.file("clients"), hello: false)
      try peer.send(Greeting.hello(client: "one/1"))
      let daemon = try manager.start(configuration: "[server]\nidle-milliseconds = 50\n")
      _ = try peer.expect(.welcome)
      try peer.call("hostcall.echo", request: 1, payload: [7])
      #expect(try peer.expect(.result).payload == [7])
      peer.close()
      #expect(daemon.wait() == 0)
    }
    #expect(manager.log().contains("nobody was connected for the idle time"))
  }

  @Test func itStaysWhileSomebodyIsConnected() throws {
    let manager = try Manager()
    let peer = try RawPeer(manager.folder.file("clients"), hello: false)
    try peer.send(Greeting.hello(client: "one/1"))
    let daemon = try manager.start(configuration: "[server]\nidle-milliseconds = 1\n")
    _ = try peer.expect(.welcome)
    for _ in 1...200 { try peer.barrier() }
    #expect(daemon.isRunning)
    peer.close()
    #expect(daemon.wait() == 0)
  }

  @Test func withoutAManagerItStaysHoweverIdle() throws {
    let daemon = try DaemonProcess(configuration: "[server]\nidle-milliseconds = 1\n")
    for _ in 1...20 { try RawPeer(daemon.socketPath).close() }
    #expect(daemon.isRunning && daemon.stop() == 0)
  }

  @Test func whatIsNoListeningSocketIsRefused() throws {
    let folder = TemporaryFolder()
    let (one, other) = try UnixSocket.pair()
    defer {
      close(one)
      close(other)
    }
    let daemon = try Manager.start([], ["clients"], [one], folder)
    #expect(daemon.wait() == 1)
    #expect(
      daemon.standardError().contains(
        "cannot listen on the descriptor 3 (clients) from the service manager: it is not a listening Unix stream socket"
      ))
  }

  @Test func socketsOfAnotherProcessAreLeftAlone() throws {
    let daemon = try DaemonProcess(environment: ["LISTEN_PID": "1", "LISTEN_FDS": "3"])
    try RawPeer(daemon.socketPath).barrier()
    #expect(daemon.stop() == 0)
  }
}
