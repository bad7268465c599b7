import Glibc
import HostcallClient
import HostcallTestSupport
import Testing

@testable import hostcall

/// The calls of bench, against a daemon.
@Suite("Calls of bench")
struct BenchLoadTests {
  private func load(
    _ daemon: DaemonProcess, _ function: String, sizeBytes: Int = 64, comparesAnswers: Bool = true
  ) async throws -> BenchLoad {
    let client = try await HostcallClient.connect(.init(socketPath: daemon.socketPath, reconnect: .never))
    return BenchLoad(
      clients: [client], function: function, payload: BenchPayload(sizeBytes: sizeBytes), timeout: nil,
      comparesAnswers: comparesAnswers)
  }

  @Test(arguments: [0, 1, 8, 9, 100_000])
  func anEchoAnswersRightly(_ sizeBytes: Int) async throws {
    let daemon = try DaemonProcess()
    let board = BenchBoard(CallTickets(calls: 20, length: nil))
    try await load(daemon, "hostcall.echo", sizeBytes: sizeBytes).runClosed(depth: 4, board)
    #expect(board.tally.succeeded == 20)
    #expect(board.tally.ended == 20)
  }

  @Test func otherBytesThanWereSentAreWrongAnswers() async throws {
    let daemon = try DaemonProcess()
    let board = BenchBoard(CallTickets(calls: 5, length: nil))
    try await load(daemon, "hostcall.info").runClosed(depth: 1, board)
    #expect(board.tally.wrongAnswers == 5)
    #expect(board.tally.succeeded == 0)
    let uncompared = BenchBoard(CallTickets(calls: 5, length: nil))
    try await load(daemon, "hostcall.info", comparesAnswers: false).runClosed(depth: 1, uncompared)
    #expect(uncompared.tally.succeeded == 5)
  }

  @Test func callsThatFindNoRoomAreSentAfterAnAnswerOrNotAtAll() async throws {
    let daemon = try DaemonProcess()
    let load = try await load(daemon, "hostcall.echo")
    // More are due than one at a time are answered.
    let board = BenchBoard(ArrivalSchedule(callsPerSecond: 100_000, calls: 5_000, connections: 1, places: 1))
    await load.runOpen(board)
    #expect(board.tally.succeeded >= 1)
    #expect(board.tally.succeeded == board.tally.ended)
    #expect(board.tally.succeeded + board.unsent == 5_000)
  }

  @Test func aLostConnectionEndsTheRun() async throws {
    let daemon = try DaemonProcess()
    let load = try await load(daemon, "hostcall.echo")
    daemon.stop(signal: SIGKILL)
    let closed = BenchBoard(CallTickets(calls: nil, length: .seconds(3_600)))
    await load.runClosed(depth: 2, closed)
    #expect(closed.loss != nil)
    let open = BenchBoard(ArrivalSchedule(callsPerSecond: 1_000, calls: 1_000_000, connections: 1, places: 1))
    await load.runOpen(open)
    #expect(open.loss != nil)
    #expect(await load.refusal() != nil)
  }

  @Test func onlyWhatWouldMeetAllCallsIsARefusal() async throws {
    let daemon = try DaemonProcess()
    #expect(await (try load(daemon, "no.such")).refusal()?.status == .notFound)
    #expect(await (try load(daemon, "hostcall.echo")).refusal() == nil)
    let worker = try await HostcallClient.connect(.init(socketPath: daemon.socketPath, reconnect: .never))
    try await worker.register("bad") { _ throws -> String in throw HostcallFailure(status: .notFound, payload: "no") }
    #expect(await (try load(daemon, "bad")).refusal() == nil)
  }

  @Test func payloadsDifferFromCallToCall() {
    let payload = BenchPayload(sizeBytes: 300)
    #expect(payload.bytes(ofCall: 1) != payload.bytes(ofCall: 2))
    #expect(payload.bytes(ofCall: 1)[8...] == payload.bytes(ofCall: 2)[8...])
    #expect(Set(payload.bytes(ofCall: 0)).count > 200)
  }
}
