import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// What peers that misbehave cost the daemon and others.
@Suite("hostcalld and its resources")
struct DaemonResourcesTests {
  private func descriptors(of daemon: DaemonProcess) throws -> Int {
    Files.count(in: "/proc/\(daemon.processID)/fd")
  }

  /// Asks again until the daemon has seen what was done to it.
  private func eventually(_ what: String, _ condition: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try !condition() { try #require(ContinuousClock.now < deadline, "\(what)") }
  }

  private func stats(_ peer: RawPeer) throws -> StatsReport {
    try peer.call("hostcall.stats", request: 0x5747)
    return try JSONDecoder().decode(StatsReport.self, from: Data(peer.expect(.result).payload))
  }

  @Test func thousandsOfConnectionsLeaveNoDescriptorBehind() throws {
    let daemon = try DaemonProcess()
    let witness = try RawPeer(daemon.socketPath)
    let before = try descriptors(of: daemon)
    for round in 1...2_000 {
      let peer = try RawPeer(daemon.socketPath, hello: false)
      if round % 2 == 0 { try peer.send(Greeting.hello(client: "raw/1")) }
      if round % 3 == 0 { try peer.send([1, 2, 3]) }
      peer.close()
    }
    try eventually("descriptors are given back") { try descriptors(of: daemon) == before }
    #expect(try stats(witness).peers == 3)
  }

  @Test func aCallerThatNeverReadsIsPausedThenClosedAndOthersGoOn() throws {
    let daemon = try DaemonProcess(
      configuration: """
        [limits]
        output-bytes-per-connection = 65536
        output-bytes-before-close = 1048576
        """)
    let other = try RawPeer(daemon.socketPath)
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("big")
    let deaf = try RawPeer(daemon.socketPath)
    for request in 1...16 as ClosedRange<UInt64> { try deaf.call("big", request: request) }
    let payload = [UInt8](repeating: 7, count: 262_144)
    for _ in 1...16 { try worker.complete(worker.expect(.invoke).header.id, payload: payload) }
    try eventually("the deaf caller is closed") { try stats(other).peers == 4 }
    try other.call("hostcall.echo", request: 1, payload: [1])
    #expect(try other.expect(.result).payload == [1])
    // Calls that the deaf caller lost before they were completed may have been cancelled.
    try worker.send(FrameHeader(kind: .ping, id: 1))
    while let frame = try worker.next(), frame.kind != .pong {
      #expect(frame.kind == .cancel || frame.kind == .rejected)
    }
  }

  @Test func aWorkerThatDoesNotReadGetsNoMoreAndOthersTakeOver() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\noutput-bytes-per-connection = 65536\n")
    let deaf = try RawPeer(daemon.socketPath)
    try deaf.register("work")
    let caller = try RawPeer(daemon.socketPath)
    let payload = [UInt8](repeating: 7, count: 200_000)
    // More than the socket and the limit hold: the deaf worker is left alone with what it has.
    for request in 1...4 as ClosedRange<UInt64> { try caller.call("work", request: request, payload: payload) }
    try caller.barrier()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("work")
    for request in 5...8 as ClosedRange<UInt64> { try caller.call("work", request: request, payload: payload) }
    // From here on only that thread uses it.
    nonisolated(unsafe) let handedOver = worker
    let working = Thread {
      while let invoke = try? handedOver.expect(.invoke) { try? handedOver.complete(invoke.header.id) }
    }
    working.start()
    var outcomes: [UInt64: Status] = [:]
    func takeOutcome() throws {
      let result = try caller.expect(.result)
      #expect(outcomes.updateValue(result.header.status, forKey: result.header.id) == nil)
    }
    while !outcomes.keys.contains(5) || !outcomes.keys.contains(8) { try takeOutcome() }
    #expect(outcomes.values.allSatisfy { $0 == .ok })
    #expect(outcomes[1] == nil)
    // What had wholly left for the deaf worker is lost with it; what had not runs elsewhere.
    deaf.close()
    while outcomes.count < 8 { try takeOutcome() }
    #expect(outcomes[1] == .workerLost)
    #expect(outcomes.values.allSatisfy { $0 == .ok || $0 == .workerLost })
    daemon.stop()
  }

  @Test func peersThatDieInTheMiddleOfEverythingLeaveNothing() throws {
    let daemon = try DaemonProcess()
    for round in 0..<200 {
      let worker = try RawPeer(daemon.socketPath)
      try worker.register("work.\(round % 7)", concurrency: 1)
      let caller = try RawPeer(daemon.socketPath)
      for request in 1...4 as ClosedRange<UInt64> {
        try caller.call("work.\(round % 7)", request: request, flags: round % 2 == 0 ? .idempotent : [])
      }
      try worker.expect(.invoke)
      try caller.send(Array(FrameEncoder.encode(FrameHeader(kind: .call, id: 9), name: "work").prefix(20)))
      if round % 2 == 0 { worker.close() } else { caller.close() }
    }
    let witness = try RawPeer(daemon.socketPath)
    try eventually("everything is gone") {
      let stats = try stats(witness)
      return stats.callsInFlight == 1 && stats.callsQueued == 0 && stats.peers == 3 && stats.functions == 7
        && stats.storedPayloadBytes == 0
    }
  }
}
