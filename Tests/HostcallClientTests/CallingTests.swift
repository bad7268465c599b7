import HostcallWire
import Testing

@testable import HostcallClient

@Suite(.timeLimit(.minutes(1))) struct CallingTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  @Test func aCallCarriesEverythingAndComesBackWithEverything() async throws {
    let (client, peer) = try await daemon.connect()
    async let response = client.call(
      "token.fetch", [1, 2, 3] as [UInt8], encoding: .cbor, timeout: .seconds(3_000),
      options: [.wait, .idempotent], metadata: ["key": "value"])
    let call = try await peer.expect(.call)
    #expect(call.name == "token.fetch")
    #expect(call.header.function == 0)
    #expect(call.payload == [1, 2, 3])
    #expect(call.header.encoding == .cbor)
    #expect(call.header.flags == [.wait, .idempotent])
    #expect(call.metadata == ["key": "value"])
    #expect((2_900_000...3_000_000).contains(call.header.timeoutMilliseconds))
    peer.answer(call, fromWorker: true, call: 4_294_967_301, metadata: ["a": "b"], "got it", encoding: .json)
    let got = try await response
    #expect(got.text == "got it")
    #expect(got.encoding == .json)
    #expect(got.metadata == ["a": "b"])
    #expect(got.correlationID == 4_294_967_301)
  }

  @Test func withoutATimeoutTheDaemonsDefaultHolds() async throws {
    let (client, peer) = try await daemon.connect()
    async let response = client.call("f")
    let call = try await peer.expect(.call)
    #expect(call.header.timeoutMilliseconds == 0)
    #expect(call.payload.isEmpty)
    peer.answer(call)
    #expect(try await response.correlationID == nil)
  }

  @Test func aTimeoutOfLessThanAMillisecondBecomesOne() async throws {
    #expect(TimeoutRules.wireMilliseconds(.nanoseconds(1)) == 1)
    #expect(TimeoutRules.wireMilliseconds(.microseconds(1_001)) == 2)
    #expect(TimeoutRules.wireMilliseconds(.seconds(Int64.max)) == .max)
    #expect(TimeoutRules.milliseconds(.milliseconds(-5)) == -5)
  }

  @Test func noTimeLeftFailsWithoutSending() async throws {
    let (client, peer) = try await daemon.connect()
    let error = try await failure { () async throws(HostcallError) in try await client.call("f", timeout: .zero) }
    #expect(error.code == .status(.timeout))
    #expect(error.origin == .client)
    try await peer.barrier()
  }

  @Test func resultsComeInAnyOrder() async throws {
    let (client, peer) = try await daemon.connect()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<50 {
        group.addTask {
          let response = try await client.call("f", "\(number)")
          #expect(response.text == "answer to \(number)")
        }
      }
      var calls: [ReceivedFrame] = []
      for _ in 0..<50 { calls.append(try await peer.expect(.call)) }
      #expect(Set(calls.map(\.header.id)).count == 50)
      #expect(calls.map(\.header.id) == calls.map(\.header.id).sorted())
      for call in calls.reversed() { peer.answer(call, "answer to \(call.text)") }
      try await group.waitForAll()
    }
  }

  @Test func anErrorOfTheDaemonSaysSo() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in
      try await client.call("token.fetch", timeout: .seconds(250))
    }
    peer.answer(try await peer.expect(.call), status: .timeout, call: 4_294_967_301, "no outcome within 250 ms")
    let got = try await error
    #expect(got.code == .status(.timeout))
    #expect(got.status == .timeout)
    #expect(got.origin == .daemon)
    #expect(got.function == "token.fetch")
    #expect(got.correlationID == 4_294_967_301)
    #expect("\(got)" == "token.fetch: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)")
  }

  @Test func anErrorOfTheWorkerSaysSoAndKeepsItsBytes() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in try await client.call("f") }
    peer.answer(
      try await peer.expect(.call), status: Status(rawValue: 200), fromWorker: true, call: 5, metadata: ["a": "b"],
      "bad\u{1b}[31m", encoding: .json)
    let got = try await error
    #expect(got.status == Status(rawValue: 200))
    #expect(got.origin == .worker)
    #expect(got.payload == Array("bad\u{1b}[31m".utf8))
    #expect(got.encoding == .json)
    #expect(got.metadata == ["a": "b"])
    #expect("\(got)" == "f: STATUS_200 from the worker: bad?[31m (call 5)")
  }

  @Test func cancellingTheTaskCancelsTheCall() async throws {
    let (client, peer) = try await daemon.connect()
    let task = Task { try await failure { () async throws(HostcallError) in try await client.call("f") } }
    let call = try await peer.expect(.call)
    task.cancel()
    let cancel = try await peer.expect(.cancel)
    #expect(cancel.header.id == call.header.id)
    peer.answer(call, status: .cancelled, call: 9, "f was cancelled by its caller")
    #expect(try await task.value.status == .cancelled)
    try await peer.barrier()
  }

  @Test func aResultThatCrossesTheCancelWins() async throws {
    let (client, peer) = try await daemon.connect()
    let task = Task { try await client.call("f") }
    let call = try await peer.expect(.call)
    task.cancel()
    try await peer.expect(.cancel)
    peer.answer(call, "done")
    #expect(try await task.value.text == "done")
  }

  @Test func aCancelledTaskDoesNotEvenCall() async throws {
    let (client, peer) = try await daemon.connect()
    let gate = Mailbox<Void>()
    let task = Task {
      _ = await gate.next()
      return try await failure { () async throws(HostcallError) in try await client.call("f") }
    }
    task.cancel()
    gate.put()
    let error = try await task.value
    #expect(error.status == .cancelled)
    #expect(error.origin == .client)
    try await peer.barrier()
  }

  @Test func whatIsTooLargeIsNotSentAndBothSizesAreNamed() async throws {
    let (client, peer) = try await daemon.connect(largestBodyBytes: 100)
    let error = try await failure { () async throws(HostcallError) in
      try await client.call("f", [UInt8](repeating: 0, count: 100))
    }
    #expect(error.code == .status(.tooLarge))
    #expect(error.message.contains("101") && error.message.contains("100"))
    try await peer.barrier()
    async let response = client.call("f", [UInt8](repeating: 0, count: 99))
    peer.answer(try await peer.expect(.call))
    _ = try await response
  }

  @Test func aResultThatIsTooLargeCostsItsCallOnly() async throws {
    let (client, peer) = try await daemon.connect { $0.largestFrameBytes = 1_000 }
    async let error = failure { () async throws(HostcallError) in try await client.call("f") }
    peer.answer(try await peer.expect(.call), call: 3, String(repeating: "x", count: 1_001))
    #expect(try await error.code == .status(.tooLarge))
    try await peer.barrier()
  }

  @Test(arguments: ["", "a..b", "a.*", "*", "ä", ".a", String(repeating: "x", count: 256)])
  func aNameThatCannotBeIsRefusedHere(_ name: String) async throws {
    let (client, peer) = try await daemon.connect()
    let error = try await failure { () async throws(HostcallError) in try await client.call(name) }
    #expect(error.code == .invalidArgument)
    try await peer.barrier()
  }

  @Test func reservedKeysAndEncodingsAreRefusedHere() async throws {
    let (client, peer) = try await daemon.connect()
    let key = try await failure { () async throws(HostcallError) in
      try await client.call("f", metadata: ["hostcall-caller-uid": "0"])
    }
    #expect(key.code == .invalidArgument)
    let encoding = try await failure { () async throws(HostcallError) in
      try await client.call("f", encoding: PayloadEncoding(rawValue: 3))
    }
    #expect(encoding.code == .invalidArgument)
    try await peer.barrier()
  }

  @Test func sendWantsNoReply() async throws {
    let (client, peer) = try await daemon.connect()
    try await client.send("log.write", "hello")
    let call = try await peer.expect(.call)
    #expect(call.header.flags == .noReply)
    #expect(call.text == "hello")
    #expect(call.header.id != 0)
  }

  @Test func whatWasSentBeforeClosingStillLeaves() async throws {
    let (client, peer) = try await daemon.connect()
    try await client.send("log.write", "last words")
    await client.close()
    #expect(try await peer.expect(.call).text == "last words")
    try await peer.expectEnd()
  }

  @Test func aQueueThatADaemonDoesNotReadIsBounded() async throws {
    let (client, peer) = try await daemon.connect { $0.largestQueueBytes = 40 }
    let connection = client.connection
    let parameters = try CallParameters(
      function: "f", encoding: .raw, timeout: nil, options: [], metadata: [:], wantsReply: true)
    let call = OutgoingCall(parameters, payload: "0123456789".payloadBytes)
    let outcome = await withCheckedContinuation { continuation in
      connection.enter { connection in
        // Within one turn nothing leaves, so the PONG still waits when the call comes.
        connection.link?.append(FrameHeader(kind: .pong, id: 1))
        connection.begin(call) { continuation.resume(returning: $0) }
      }
    }
    #expect(throws: HostcallError.self) { try outcome.get() }
    if case .failure(let error) = outcome {
      #expect(error.status == .overloaded)
      #expect(error.message.contains("32 bytes wait"))
    }
    try await peer.expect(.pong)
    // What is larger than the limit goes when nothing waits.
    async let response = client.call("f", [UInt8](repeating: 0, count: 1_000))
    peer.answer(try await peer.expect(.call))
    _ = try await response
  }

  @Test func pingComesBack() async throws {
    let (client, peer) = try await daemon.connect()
    async let delay = client.ping()
    try await peer.answerPing()
    #expect(try await delay > .zero)
  }

  @Test func everythingWorksByteByByte() async throws {
    let (client, peer) = try await daemon.connect()
    async let response = client.call("f")
    async let error = failure { () async throws(HostcallError) in try await client.call("g") }
    let (first, second) = (try await peer.expect(.call), try await peer.expect(.call))
    let (f, g) = first.name == "f" ? (first, second) : (second, first)
    let bytes =
      FakePeer.result(f, metadata: ["a": "b"], "piecemeal")
      + FrameEncoder.encode(FrameHeader(kind: .ping, id: 5), payload: [UInt8](repeating: 1, count: 64))
      + FakePeer.result(g, status: .notFound, "nobody")
    for byte in bytes {
      peer.send([byte])
      // Without this the socket would put the bytes together again.
      if byte % 16 == 0 { _ = await client.serverInformation }
    }
    #expect(try await response.text == "piecemeal")
    #expect(try await error.status == .notFound)
    #expect(try await peer.expect(.pong).payload.count == 64)
  }

  @Test func tenThousandCallsAtOnce() async throws {
    let (client, peer) = try await daemon.connect()
    let count = 10_000
    async let sum = withThrowingTaskGroup(of: Int.self, returning: Int.self) { group in
      for number in 0..<count {
        group.addTask {
          let text = try await client.call("f", "\(number)").text
          return text == "\(number)" ? number : -1_000_000_000
        }
      }
      return try await group.reduce(0, +)
    }
    var calls: [ReceivedFrame] = []
    for _ in 0..<count { calls.append(try await peer.expect(.call)) }
    calls.shuffle()
    var batch: [UInt8] = []
    for call in calls {
      batch += FakePeer.result(call, call.text)
      if batch.count > 50_000 {
        peer.send(batch)
        batch = []
      }
    }
    peer.send(batch)
    #expect(try await sum == count * (count - 1) / 2)
  }
}
