import HostcallLoop
import HostcallWire
import Testing

@testable import HostcallClient

/// Elements that tell how many of them were asked for.
struct CountedElements: AsyncSequence, Sendable {
  let count: Int
  let asked = HeapLock(0)
  /// Thrown in place of the end.
  var error: Broken?

  struct Broken: Error, CustomStringConvertible { let description = "the tape is torn" }

  struct Iterator: AsyncIteratorProtocol {
    let elements: CountedElements
    var next = 0

    mutating func next() async throws -> String? {
      elements.asked.withLock { $0 += 1 }
      if next == elements.count {
        if let error = elements.error { throw error }
        return nil
      }
      next += 1
      return "\(next)"
    }
  }

  func makeAsyncIterator() -> Iterator { Iterator(elements: self) }

  var askedCount: Int { asked.withLock { $0 } }
}

/// Argument items, from the caller's side.
@Suite(.timeLimit(.minutes(1))) struct ArgumentStreamTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  @Test func argumentsFollowAsFarAsTheCreditGoes() async throws {
    let (client, peer) = try await daemon.connect()
    let elements = CountedElements(count: 3)
    async let response = client.call("sum", "start", arguments: elements, timeout: .seconds(5))
    let call = try await peer.expect(.call)
    #expect(call.header.flags == .open)
    #expect(call.header.aux == 0)
    #expect(call.text == "start")
    try await peer.barrier()
    #expect(elements.askedCount <= 1)
    peer.credit(call.header.id, 2)
    for place in 0..<2 as Range<UInt32> {
      let item = try await peer.expect(.item)
      #expect(item.header.id == call.header.id)
      #expect(item.header.aux == place)
      #expect(item.header.flags == [])
      #expect(item.text == "\(place + 1)")
    }
    try await peer.barrier()
    #expect(elements.askedCount <= 3)
    peer.credit(call.header.id, 1)
    #expect(try await peer.expect(.item).text == "3")
    // The end needs no credit.
    let last = try await peer.expect(.item)
    #expect(last.header.flags == .last)
    #expect(last.header.aux == 3)
    #expect(last.payload.isEmpty)
    peer.answer(call, "6")
    #expect(try await response.text == "6")
  }

  @Test func anEmptySequenceIsAnEmptyLastItem() async throws {
    let (client, peer) = try await daemon.connect()
    async let response = client.call("sum", arguments: CountedElements(count: 0))
    let call = try await peer.expect(.call)
    let last = try await peer.expect(.item)
    #expect(last.header.flags == .last)
    #expect(last.header.aux == 0)
    peer.answer(call, "0")
    #expect(try await response.text == "0")
  }

  @Test func anEndThatIsKnownBeforeTheCallIsSentFollowsIt() async throws {
    let (client, peer) = try await daemon.connect()
    let port = try await fed(CountedElements(count: 0), client)
    async let response = port.response()
    let sent = try await peer.expect(.call)
    #expect(try await peer.expect(.item).header.flags == .last)
    peer.answer(sent, "0")
    #expect(try await response.text == "0")
  }

  @Test func aFailureThatIsKnownBeforeTheCallIsSentIsItsError() async throws {
    let (client, peer) = try await daemon.connect()
    let port = try await fed(CountedElements(count: 0, error: .init()), client)
    let error = try await failure { () async throws(HostcallError) in try await port.response() }
    #expect("\(error)" == "sum: CANCELLED: its arguments ended with an error: the tape is torn")
    try await peer.barrier()
  }

  /// The way of a call that has not begun, and whose sequence has come to its end.
  private func fed(_ elements: CountedElements, _ client: HostcallClient) async throws -> OutgoingCallPort {
    let parameters = try CallParameters(
      function: "sum", encoding: .raw, timeout: nil, options: [], metadata: [:], wantsReply: true, hasArguments: true)
    let port = client.port(OutgoingCall(parameters, payload: []))
    await ArgumentFeed.run(
      elements, into: try #require(port.streams.arguments), by: port, function: port.function)
    return port
  }

  @Test func thousandsOfArgumentsAndResultsAtOnce() async throws {
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("double", arguments: CountedElements(count: 5_000))
    let call = try await peer.expect(.call)
    #expect(call.header.flags == .open)
    async let served: Void = {
      // Each result spends one credit of the caller, each argument one of the worker.
      var credit = call.header.aux
      var waiting: [String] = []
      var place: UInt32 = 0
      peer.credit(call.header.id, 8)
      while place < 5_000 {
        let frame = try await #require(peer.frames.next())
        if frame.kind == .credit { credit += frame.header.aux }
        if frame.kind == .item, !frame.header.flags.contains(.last) { waiting.append(frame.text) }
        while credit > 0, !waiting.isEmpty {
          peer.item(call.header.id, place: place, waiting.removeFirst())
          peer.credit(call.header.id, 1)
          place += 1
          credit -= 1
        }
      }
      peer.answer(call)
    }()
    var next = 1
    for try await item in stream {
      #expect(item.text == "\(next)")
      next += 1
    }
    #expect(next == 5_001)
    try await served
  }

  @Test func aSequenceThatFailsCancelsItsCall() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in
      try await client.call("sum", arguments: CountedElements(count: 1, error: .init()))
    }
    let call = try await peer.expect(.call)
    peer.credit(call.header.id, 10)
    #expect(try await peer.expect(.item).text == "1")
    #expect(try await peer.expect(.cancel).header.id == call.header.id)
    peer.answer(call, status: .cancelled, "cancelled by its caller")
    let got = try await error
    #expect("\(got)" == "sum: CANCELLED: its arguments ended with an error: the tape is torn")
  }

  @Test func aCallThatHasEndedStopsItsSequence() async throws {
    let (client, peer) = try await daemon.connect()
    let (elements, continuation) = AsyncStream<String>.makeStream()
    let stopped = Mailbox<Void>()
    continuation.onTermination = { _ in stopped.put() }
    async let response = client.call("first", arguments: elements)
    let call = try await peer.expect(.call)
    peer.credit(call.header.id, 5)
    continuation.yield("one")
    #expect(try await peer.expect(.item).text == "one")
    peer.answer(call, "enough")
    #expect(try await response.text == "enough")
    _ = await stopped.next()
    // Credit that met the end on its way.
    peer.credit(call.header.id, 5)
    try await peer.barrier()
  }

  @Test func cancellingTheTaskStopsTheSequenceAndTheCall() async throws {
    let (client, peer) = try await daemon.connect()
    let (elements, continuation) = AsyncStream<String>.makeStream()
    let stopped = Mailbox<Void>()
    continuation.onTermination = { _ in stopped.put() }
    let task = Task {
      try await failure { () async throws(HostcallError) in try await client.call("sum", arguments: elements) }
    }
    let call = try await peer.expect(.call)
    peer.credit(call.header.id, 1)
    task.cancel()
    try await peer.expect(.cancel)
    peer.answer(call, status: .cancelled)
    #expect(try await task.value.status == .cancelled)
    _ = await stopped.next()
  }

  /// What a call ends with whose only argument cannot be sent.
  private func failureOfArgument(
    _ argument: some HostcallPayload, largestBodyBytes: UInt32 = 1 << 20
  ) async throws -> HostcallError {
    let (client, peer) = try await daemon.connect(largestBodyBytes: largestBodyBytes)
    let elements = AsyncStream {
      $0.yield(argument)
      $0.finish()
    }
    async let error = failure { () async throws(HostcallError) in try await client.call("sum", arguments: elements) }
    let call = try await peer.expect(.call)
    peer.credit(call.header.id, 1)
    try await peer.expect(.cancel)
    peer.answer(call, status: .cancelled)
    return try await error
  }

  @Test func anArgumentThatIsTooLargeCostsItsCall() async throws {
    let error = try await failureOfArgument(String(repeating: "x", count: 101), largestBodyBytes: 100)
    #expect(error.status == .tooLarge)
  }

  @Test func anArgumentWithAReservedEncodingIsRefusedHere() async throws {
    let reserved = HostcallItem(payload: [1], encoding: PayloadEncoding(rawValue: 50))
    #expect(try await failureOfArgument(reserved).code == .invalidArgument)
  }

  @Test func anOlderDaemonIsNotAsked() async throws {
    let (client, peer) = try await daemon.connect(features: "events")
    let error = try await failure { () async throws(HostcallError) in
      try await client.call("sum", arguments: CountedElements(count: 1))
    }
    #expect(error.status == .unavailable)
    try await peer.barrier()
  }
}
