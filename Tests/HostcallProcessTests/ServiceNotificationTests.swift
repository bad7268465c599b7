import Glibc
import HostcallTestSupport
import HostcallWire
import Testing

/// What hostcalld tells the service manager that has started it.
@Suite("hostcalld under a service manager", .timeLimit(.minutes(3)))
struct ServiceNotificationTests {
  @Test func itIsReadyWhenItAnswers() throws {
    let folder = TemporaryFolder()
    let manager = FakeServiceManager(at: folder.file("notify"))
    let daemon = try ChildProcess(
      "hostcalld", ["--socket", folder.file("s")], environment: manager.environment, errors: folder.file("log"))
    #expect(try manager.next("READY")["READY"] == "1")
    #expect(try manager.next("STATUS")["STATUS"] == "0 connections, 0 calls in flight")
    // No try but one: whoever was told may connect.
    let peer = try RawPeer(folder.file("s"))
    try peer.call("hostcall.echo", request: 1, payload: [7])
    #expect(try peer.expect(.result).payload == [7])
    #expect(daemon.stop() == 0)
  }

  @Test func anAbstractSocketDoesAsWell() throws {
    let manager = FakeServiceManager(at: "@hostcall-test-\(UInt64.random(in: 0 ... .max))")
    let daemon = try DaemonProcess(environment: manager.environment)
    #expect(try manager.next("READY")["READY"] == "1")
    #expect(daemon.stop() == 0)
  }

  @Test func theStatusSaysHowMuchGoesOn() throws {
    let folder = TemporaryFolder()
    let manager = FakeServiceManager(at: folder.file("notify"))
    let daemon = try DaemonProcess(environment: manager.environment)
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("hang")
    try worker.call("hang", request: 1)
    try worker.call("hang", request: 2)
    while try manager.next("STATUS")["STATUS"] != "1 connection, 2 calls in flight" {}
    worker.close()
    while try manager.next("STATUS")["STATUS"] != "0 connections, 0 calls in flight" {}
    #expect(daemon.stop() == 0)
  }

  @Test func itSaysThatItStopsAndHowLongThatMayTake() throws {
    let folder = TemporaryFolder()
    let manager = FakeServiceManager(at: folder.file("notify"))
    let daemon = try DaemonProcess(
      configuration: "[server]\nshutdown-grace-milliseconds = 123000\n", environment: manager.environment)
    #expect(daemon.stop() == 0)
    let told = try manager.next("STOPPING")
    #expect(told["STOPPING"] == "1" && told["STATUS"]?.hasPrefix("stopping") == true)
    let microseconds = try #require(told["EXTEND_TIMEOUT_USEC"].flatMap { Int($0) })
    #expect((123_000_000...200_000_000).contains(microseconds))
  }

  @Test func aReloadBeginsAndEnds() throws {
    let folder = TemporaryFolder()
    let manager = FakeServiceManager(at: folder.file("notify"))
    let daemon = try DaemonProcess(configuration: "", environment: manager.environment)
    _ = try manager.next("READY")
    func microseconds() -> Int {
      var now = timespec()
      clock_gettime(CLOCK_MONOTONIC, &now)
      return now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
    }
    let before = microseconds()
    kill(daemon.processID, SIGHUP)
    let begin = try manager.next("RELOADING")
    #expect(begin["RELOADING"] == "1")
    let told = try #require(begin["MONOTONIC_USEC"].flatMap { Int($0) })
    #expect((before...microseconds()).contains(told))
    #expect(try manager.next("READY")["READY"] == "1")
    try eventually("the log says so") { daemon.standardError().contains("configuration reloaded") }
    #expect(daemon.stop() == 0)
  }

  @Test func theLoopItselfKeepsTheWatchdogQuiet() throws {
    let folder = TemporaryFolder()
    let manager = FakeServiceManager(at: folder.file("notify"))
    let environment = manager.environment.merging(["WATCHDOG_USEC": "200000"]) { $1 }
    let daemon = try DaemonProcess(environment: environment)
    for _ in 1...4 { #expect(try manager.next("WATCHDOG")["WATCHDOG"] == "1") }
    #expect(daemon.stop() == 0)
  }

  @Test func theWatchdogOfAnotherProcessIsLeftAlone() throws {
    let folder = TemporaryFolder()
    let manager = FakeServiceManager(at: folder.file("notify"))
    let environment = manager.environment.merging(["WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"]) { $1 }
    let daemon = try DaemonProcess(environment: environment)
    let peer = try RawPeer(daemon.socketPath)
    try peer.barrier()
    #expect(daemon.stop() == 0)
    while let told = manager.received() { #expect(told["WATCHDOG"] == nil) }
  }

  @Test func aManagerThatIsNotThereIsNoHindrance() throws {
    let folder = TemporaryFolder()
    let daemon = try DaemonProcess(environment: ["NOTIFY_SOCKET": folder.file("nobody")])
    let peer = try RawPeer(daemon.socketPath)
    try peer.barrier()
    #expect(daemon.stop() == 0)
    // Ready, how much goes on, stopping: it is said once for all.
    let lines = daemon.standardError().split(separator: "\n").filter { $0.contains("service manager not told") }
    #expect(lines.count == 1, "\(lines)")
  }

  @Test func anAddressThatIsNoneIsRefused() throws {
    let folder = TemporaryFolder()
    let daemon = try ChildProcess(
      "hostcalld", ["--socket", folder.file("s")], environment: ["NOTIFY_SOCKET": "vsock:2:1234"],
      errors: folder.file("log"))
    #expect(daemon.wait() == 1)
    #expect(daemon.standardError().contains("cannot tell the service manager at vsock:2:1234"))
  }
}
