import Glibc
import HostcallLoop
import HostcallTestSupport
import HostcallWire
import Testing

/// A service manager opens the sockets, and starts hostcalld when somebody connects.
@Suite("hostcalld on sockets of a service manager", .timeLimit(.minutes(3)))
struct SocketActivationTests {
  @Test func whoConnectsBeforeItHasStartedIsAnswered() throws {
    let service = try FakeService()
    // Nobody accepts yet.
    let peer = try RawPeer(service.folder.file("clients"), hello: false)
    try peer.send(Greeting.hello(client: "early/1"))
    try peer.call("hostcall.echo", request: 1, payload: [7])
    let daemon = try service.start()
    _ = try peer.expect(.welcome)
    #expect(try peer.expect(.result).payload == [7])
    #expect(daemon.stop() == 0)
    // It has ended, so its log is written.
    #expect(service.log().contains("listening inherited=clients"))
    // The socket is the manager's: it is still there for the next daemon.
    let next = try RawPeer(service.folder.file("clients"), hello: false)
    try next.send(Greeting.hello(client: "late/1"))
    let second = try service.start()
    _ = try next.expect(.welcome)
    #expect(second.stop() == 0)
  }

  @Test func administratorsAreTakenWhateverLimitsAreMet() throws {
    let service = try FakeService(["clients", "admin"], configuration: "[limits]\nconnections = 1\n")
    let daemon = try service.start()
    let first = try RawPeer(service.folder.file("clients"))
    #expect(throws: (any Error).self) { try RawPeer(service.folder.file("clients")) }
    let administrator = try RawPeer(service.folder.file("admin"))
    try administrator.call("hostcall.echo", request: 1, payload: [9])
    #expect(try administrator.expect(.result).payload == [9])
    try first.barrier()
    #expect(daemon.stop() == 0)
  }

  @Test func itLeavesWhenNobodyIsThereAndComesBack() throws {
    let service = try FakeService(configuration: "[server]\nidle-milliseconds = 50\n")
    for _ in 1...3 {
      let peer = try RawPeer(service.folder.file("clients"), hello: false)
      try peer.send(Greeting.hello(client: "one/1"))
      let daemon = try service.start()
      _ = try peer.expect(.welcome)
      try peer.call("hostcall.echo", request: 1, payload: [7])
      #expect(try peer.expect(.result).payload == [7])
      peer.close()
      #expect(daemon.wait() == 0)
    }
    #expect(service.log().contains("nobody was connected for the idle time"))
  }

  @Test func itStaysWhileSomebodyIsConnected() throws {
    let service = try FakeService(configuration: "[server]\nidle-milliseconds = 1\n")
    let peer = try RawPeer(service.folder.file("clients"), hello: false)
    try peer.send(Greeting.hello(client: "one/1"))
    let daemon = try service.start()
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
    let daemon = try FakeService.start(descriptors: [("clients", one)], in: folder)
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
