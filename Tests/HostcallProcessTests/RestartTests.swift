import Glibc
import HostcallLoop
import HostcallTestSupport
import HostcallWire
import Testing

/// A daemon leaves everything to the next one, and nobody but the two notices.
@Suite("Restart without loss", .timeLimit(.minutes(3)))
struct RestartTests {
  private static let mark: UInt64 = 1 << 63

  private static func connect(_ service: FakeService) throws -> RawPeer {
    try RawPeer.waiting(for: service.folder.file("clients"))
  }

  @Test func aCallInFlightIsAnsweredAcrossProcesses() throws {
    let service = try FakeService()
    let first = try service.start()
    let worker = try Self.connect(service)
    let caller = try Self.connect(service)
    try worker.register("work")
    try caller.call("work", request: Self.mark | 1, payload: [1, 2])
    let invoke = try worker.expect(.invoke)
    let (second, status) = try service.restart(first)
    #expect(status == 0)
    try worker.complete(invoke.header.id, payload: [3])
    let result = try caller.expect(.result)
    #expect(result.header.id == Self.mark | 1 && result.payload == [3])
    // Nobody had to connect or to register again.
    try caller.call("work", request: Self.mark | 2, payload: [4])
    #expect(try worker.expect(.invoke).payload == [4])
    #expect(second.stop() == 0)
    let log = service.log()
    #expect(log.contains("handing over connections=2 calls=1"))
    #expect(log.contains("took over connections=2 calls=1"))
  }
}
