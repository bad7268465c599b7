import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// What a real daemon answers to bytes on its socket.
@Suite("hostcalld on the wire")
struct DaemonWireTests {
  /// One entry of the protocol's vectors.
  struct Vector: Decodable, CustomTestStringConvertible {
    let what: String
    let bytes: String
    var way: String?
    var afterHello: Bool?

    enum CodingKeys: String, CodingKey {
      case what, bytes, way
      case afterHello = "after_hello"
    }

    var testDescription: String { what }

    var content: [UInt8] {
      let digits = Array(bytes.utf8)
      return stride(from: 0, to: digits.count, by: 2).map {
        UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16) ?? 0
      }
    }
  }

  private struct Vectors: Decodable {
    let frames: [Vector]
    let refused: [Vector]
  }

  private static func vectors() throws -> Vectors {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../HostcallWireTests/protocol-vectors.json")
    return try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: file))
  }

  @Test func everyRefusedVectorGetsGoawayAndNobodyElseNotices() throws {
    let daemon = try DaemonProcess()
    let bystander = try RawPeer(daemon.socketPath)
    try bystander.register("bystander")
    let refused = try Self.vectors().refused
    #expect(refused.count == 48)
    for vector in refused {
      let peer = try RawPeer(daemon.socketPath, hello: vector.afterHello ?? true)
      try peer.send(vector.content)
      let goaway = try peer.expect(.goaway)
      #expect(goaway.header.status == .protocolViolation, "\(vector.what)")
      #expect(!goaway.text.isEmpty, "\(vector.what)")
      try peer.expectEnd()
    }
    try bystander.barrier()
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("bystander", request: 1)
    try bystander.complete(bystander.expect(.invoke).header.id, payload: [1])
    #expect(try caller.expect(.result).payload == [1])
  }

  @Test func everyVectorOfAPeerIsTakenOrAnswered() throws {
    let daemon = try DaemonProcess()
    let frames = try Self.vectors().frames.filter { $0.way == "P>D" }
    #expect(frames.count == 22)
    for vector in frames where !vector.what.hasPrefix("HELLO") {
      let peer = try RawPeer(daemon.socketPath)
      try peer.send(vector.content)
      try peer.send(FrameHeader(kind: .ping, id: 0xbabe))
      // Whatever it leads to, the connection goes on: no GOAWAY comes before the PONG.
      while true {
        let frame = try #require(try peer.next(), "\(vector.what)")
        #expect(frame.kind != .goaway, "\(vector.what): \(frame.text)")
        if frame.kind == .pong, frame.header.id == 0xbabe { break }
      }
    }
    for vector in frames where vector.what.hasPrefix("HELLO") {
      let peer = try RawPeer(daemon.socketPath, hello: false)
      try peer.send(vector.content)
      let welcome = try peer.expect(.welcome)
      #expect(welcome.header.status == .ok)
      #expect(welcome.header.function == 1)
      #expect(welcome.metadata["max-frame"] == "16777216")
      #expect(welcome.metadata["instance"]?.count == 32)
    }
  }

  @Test func aFrameOf64KiBMayComeByteByByte() throws {
    let daemon = try DaemonProcess()
    let peer = try RawPeer(daemon.socketPath)
    let payload = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 * 131) }
    let frame = FrameEncoder.encode(FrameHeader(kind: .call, id: 7), name: "hostcall.echo", payload: payload)
    for byte in frame { try peer.send([byte]) }
    let result = try peer.expect(.result)
    #expect(result.header.id == 7)
    #expect(result.payload == payload)
  }

  @Test func aHundredThousandCallsInOneWriteAllEnd() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\ncalls-in-flight-per-connection = 100000\n")
    let peer = try RawPeer(daemon.socketPath)
    var bytes: [UInt8] = []
    for request in 1...100_000 as ClosedRange<UInt64> {
      FrameEncoder.append(
        FrameHeader(kind: .call, id: request), name: "hostcall.echo", payload: Array(String(request).utf8), to: &bytes)
    }
    // Written by a thread of its own: the daemon answers while it reads, and stops reading from who does not.
    let whole = bytes
    let descriptor = peer.descriptor
    let writer = Thread {
      var start = 0
      while start < whole.count {
        let sent = whole[start...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if sent <= 0 { return }
        start += sent
      }
    }
    writer.start()
    var seen = Set<UInt64>()
    var calls = Set<UInt64>()
    for _ in 1...100_000 {
      let result = try peer.expect(.result)
      #expect(result.header.status == .ok, "\(result.text)")
      #expect(result.text == String(result.header.id))
      #expect(seen.insert(result.header.id).inserted)
      #expect(calls.insert(result.header.call).inserted)
    }
    try peer.barrier()
  }

  @Test func callsBeyondTheLimitOfAConnectionAreOverloaded() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\ncalls-in-flight-per-connection = 3\n")
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("slow")
    let caller = try RawPeer(daemon.socketPath)
    for request in 1...5 as ClosedRange<UInt64> { try caller.call("slow", request: request) }
    for request in 4...5 as ClosedRange<UInt64> {
      let result = try caller.expect(.result)
      #expect(result.header.id == request)
      #expect(result.header.status == .overloaded)
      #expect(result.header.call == 0)
      let reason = "this connection has 3 calls in flight, the most it may have (calls-in-flight-per-connection)"
      #expect(result.text == "slow: \(reason)")
    }
    for _ in 1...3 { try worker.complete(worker.expect(.invoke).header.id) }
    for _ in 1...3 { #expect(try caller.expect(.result).header.status == .ok) }
  }

  @Test func aFrameBeyondMaxFrameIsThrownAwayAndTheConnectionGoesOn() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\nframe-bytes = 4096\n")
    let peer = try RawPeer(daemon.socketPath)
    try peer.call("hostcall.echo", request: 1, payload: Array(repeating: 1, count: 1_000_000))
    let refused = try peer.expect(.result)
    #expect(refused.header.status == .tooLarge)
    #expect(refused.header.id == 1)
    try peer.call("hostcall.echo", request: 2, payload: [2])
    #expect(try peer.expect(.result).payload == [2])
  }

  @Test func aTooLargeCompletionEndsItsCallAndTellsTheWorker() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\nframe-bytes = 4096\n")
    let (worker, caller, invoke) = try daemon.runningCall(of: "large")
    try worker.complete(invoke.header.id, payload: Array(repeating: 1, count: 5_000))
    let rejected = try worker.expect(.rejected)
    #expect(rejected.header.status == .tooLarge)
    #expect(rejected.header.id == invoke.header.id)
    let result = try caller.expect(.result)
    #expect(result.header.status == .tooLarge)
    #expect(result.header.call == invoke.header.id)
    try caller.call("large", request: 2)
    try worker.complete(worker.expect(.invoke).header.id)
    #expect(try caller.expect(.result).header.status == .ok)
  }

  @Test func whoSaysNoHelloIsClosed() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\nhello-milliseconds = 50\n")
    let peer = try RawPeer(daemon.socketPath, hello: false)
    let goaway = try peer.expect(.goaway)
    #expect(goaway.text == "no HELLO within 50 ms")
    try peer.expectEnd()
  }

  @Test func oneConnectionTooManyIsToldSo() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\nconnections = 2\n")
    let first = try RawPeer(daemon.socketPath)
    let second = try RawPeer(daemon.socketPath)
    let third = try RawPeer(daemon.socketPath, hello: false)
    let goaway = try third.expect(.goaway)
    #expect(goaway.header.status == .overloaded)
    try third.expectEnd()
    try first.barrier()
    second.close()
    // The place is free as soon as the daemon has seen the end.
    let deadline = ContinuousClock.now + .seconds(20)
    while true {
      let next = try RawPeer(daemon.socketPath, hello: false)
      try next.send(Greeting.hello(client: "raw/1"))
      if let frame = try next.next(), frame.kind == .welcome { break }
      try #require(ContinuousClock.now < deadline)
    }
  }

  @Test func aDeadlineHoldsInTheQueueAndAtTheWorker() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("slow", concurrency: 1)
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("slow", request: 1, timeoutMilliseconds: 60)
    try caller.call("slow", request: 2, timeoutMilliseconds: 30)
    let invoke = try worker.expect(.invoke)
    #expect((1...60).contains(invoke.header.timeoutMilliseconds))
    let queued = try caller.expect(.result)
    #expect(queued.header.id == 2)
    #expect(queued.header.status == .timeout)
    let running = try caller.expect(.result)
    #expect(running.header.id == 1)
    #expect(running.text == "slow: no outcome within 60 ms")
    let cancel = try worker.expect(.cancel)
    #expect(cancel.header.id == invoke.header.id)
    #expect(cancel.header.status == .timeout)
    try worker.complete(invoke.header.id)
    #expect(try worker.expect(.rejected).header.status == .late)
    try worker.complete(invoke.header.id)
    #expect(try worker.expect(.rejected).header.status == .duplicate)
    try worker.complete(invoke.header.id + 1)
    #expect(try worker.expect(.rejected).header.status == .unknownCall)
  }

  @Test func theCallersEndReachesTheWorker() throws {
    let daemon = try DaemonProcess()
    let (worker, caller, invoke) = try daemon.runningCall(of: "slow")
    caller.close()
    let cancel = try worker.expect(.cancel)
    #expect(cancel.header.status == .callerLost)
    try worker.complete(invoke.header.id, status: .cancelled)
    try worker.barrier()
  }

  @Test func theWorkersEndReachesTheCallerAndIdempotentCallsMoveOn() throws {
    let daemon = try DaemonProcess()
    let first = try RawPeer(daemon.socketPath)
    try first.register("work")
    let caller = try RawPeer(daemon.socketPath)
    try caller.call("work", request: 1)
    try caller.call("work", request: 2, flags: .idempotent, payload: [2])
    _ = try first.expect(.invoke)
    let again = try first.expect(.invoke)
    let second = try RawPeer(daemon.socketPath)
    try second.register("work")
    first.close()
    let lost = try caller.expect(.result)
    #expect(lost.header.id == 1)
    #expect(lost.header.status == .workerLost)
    let invoke = try second.expect(.invoke)
    #expect(invoke.header.id == again.header.id)
    #expect(invoke.payload == [2])
    try second.complete(invoke.header.id)
    #expect(try caller.expect(.result).header.id == 2)
  }

  @Test func aWorkerThatSaysGoawayFinishesWhatItHas() throws {
    let daemon = try DaemonProcess()
    let (worker, caller, invoke) = try daemon.runningCall(of: "work")
    try worker.send(FrameHeader(kind: .goaway, status: .ok))
    try worker.barrier()
    try caller.call("work", request: 2)
    #expect(try caller.expect(.result).header.status == .notFound)
    try worker.complete(invoke.header.id, payload: [9])
    #expect(try caller.expect(.result).payload == [9])
  }
}
