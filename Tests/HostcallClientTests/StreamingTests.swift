import HostcallLoop
import HostcallWire
import Testing

@testable import HostcallClient

/// Result items, from the caller's side.
@Suite(.timeLimit(.minutes(1))) struct StreamingTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  /// What the loop over a stream throws.
  private func failureOfLoop(over stream: HostcallStream) async throws -> HostcallError {
    try await failure { () async throws(HostcallError) in
      for try await _ in stream {}
    }
  }

  @Test func itemsComeInOrderAndThenTheResponse() async throws {
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("numbers", "3", encoding: .json, metadata: ["k": "v"], window: 4)
    let call = try await peer.expect(.call)
    #expect(call.header.aux == 4)
    #expect(call.header.flags == [])
    #expect(call.header.encoding == .json)
    #expect(call.text == "3")
    #expect(call.metadata == ["k": "v"])
    #expect(call.header.id >> 63 == 1)
    peer.item(call.header.id, place: 0, "zero")
    peer.item(call.header.id, place: 1, encoding: .cbor, "one")
    peer.item(call.header.id, place: 2)
    peer.answer(call, fromWorker: true, call: 9, metadata: ["a": "b"], "done")
    var items: [HostcallItem] = []
    for try await item in stream { items.append(item) }
    #expect(items.map(\.text) == ["zero", "one", ""])
    #expect(items.map(\.encoding) == [.raw, .cbor, .raw])
    let response = try await stream.response
    #expect(response.text == "done")
    #expect(response.correlationID == 9)
    #expect(response.metadata == ["a": "b"])
  }

  @Test func aConsumerThatDoesNotTakeGrantsNothing() async throws {
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("numbers", window: 4)
    let call = try await peer.expect(.call)
    for place in 0..<4 { peer.item(call.header.id, place: UInt32(place), "\(place)") }
    try await peer.barrier()
    let iterator = stream.makeAsyncIterator()
    #expect(try await iterator.next()?.text == "0")
    try await peer.barrier()
    // Half of the window is used up.
    #expect(try await iterator.next()?.text == "1")
    let credit = try await peer.expect(.credit)
    #expect(credit.header.id == call.header.id)
    #expect(credit.header.aux == 2)
    #expect(try await iterator.next()?.text == "2")
    try await peer.barrier()
    peer.answer(call)
    try await peer.barrier()
    #expect(try await iterator.next()?.text == "3")
    #expect(try await iterator.next() == nil)
    try await peer.barrier()
  }

  @Test func theWindowIsTheConfigurationsUnlessTheStreamSays() async throws {
    let (client, peer) = try await daemon.connect { $0.itemWindow = 7 }
    let first = client.stream("a")
    #expect(try await peer.expect(.call).header.aux == 7)
    let second = client.stream("b", window: 0)
    #expect(try await peer.expect(.call).header.aux == 1)
    let third = client.stream("c", window: .max)
    #expect(try await peer.expect(.call).header.aux == UInt32(ItemWindow.largestItems))
    withExtendedLifetime((first, second, third)) {}
  }

  @Test func tenThousandItemsNeverExceedTheWindow() async throws {
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("numbers")
    let call = try await peer.expect(.call)
    async let produced: Void = {
      var credit = call.header.aux
      #expect(credit == 32)
      for place in 0..<10_000 as Range<UInt32> {
        while credit == 0 { credit += try await peer.expect(.credit).header.aux }
        credit -= 1
        peer.item(call.header.id, place: place, "\(place)")
      }
      peer.answer(call, "all")
    }()
    var count = 0
    for try await item in stream {
      #expect(item.text == "\(count)")
      count += 1
    }
    try await produced
    #expect(count == 10_000)
    #expect(try await stream.response.text == "all")
  }

  @Test func whatCameBeforeAnErrorIsHandedOutFirst() async throws {
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("numbers")
    let call = try await peer.expect(.call)
    peer.item(call.header.id, place: 0, "0")
    peer.answer(call, status: .failed, fromWorker: true, call: 5, "out of numbers")
    let iterator = stream.makeAsyncIterator()
    #expect(try await iterator.next()?.text == "0")
    let error = try await failure { () async throws(HostcallError) in try await iterator.next() }
    #expect("\(error)" == "numbers: FAILED from the worker: out of numbers (call 5)")
    #expect(try await iterator.next() == nil)
    let again = try await failure { () async throws(HostcallError) in try await stream.response }
    #expect(again.status == .failed)
  }

  @Test func leavingTheLoopCancelsTheCall() async throws {
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("numbers", window: 2)
    let call = try await peer.expect(.call)
    peer.item(call.header.id, place: 0, "0")
    peer.item(call.header.id, place: 1, "1")
    try await peer.barrier()
    for try await item in stream {
      #expect(item.text == "0")
      break
    }
    try await peer.expect(.credit)
    #expect(try await peer.expect(.cancel).header.id == call.header.id)
    // What the worker sent before it knew.
    peer.item(call.header.id, place: 2, "2")
    peer.answer(call, status: .cancelled, "cancelled by its caller")
    let error = try await failure { () async throws(HostcallError) in try await stream.response }
    #expect(error.status == .cancelled)
    try await peer.barrier()
  }

  @Test func aStreamThatIsLetGoOfIsCancelled() async throws {
    let (client, peer) = try await daemon.connect()
    do { _ = client.stream("numbers") }
    let call = try await peer.expect(.call)
    #expect(try await peer.expect(.cancel).header.id == call.header.id)
    peer.answer(call, status: .cancelled)
    try await peer.barrier()
  }

  @Test func cancellingTheTaskCancelsTheCallAndWaitsForItsEnd() async throws {
    let (client, peer) = try await daemon.connect()
    let task = Task { try await failureOfLoop(over: client.stream("numbers")) }
    let call = try await peer.expect(.call)
    task.cancel()
    try await peer.expect(.cancel)
    peer.item(call.header.id, place: 0, "nobody wants it")
    peer.answer(call, status: .cancelled, "cancelled by its caller")
    let error = try await task.value
    #expect(error.status == .cancelled)
    #expect(error.origin == .daemon)
  }

  @Test func aCancelledTaskNeverTakesAnIncompleteStreamForWhole() async throws {
    let (client, peer) = try await daemon.connect()
    let task = Task { try await failureOfLoop(over: client.stream("numbers")) }
    let call = try await peer.expect(.call)
    task.cancel()
    try await peer.expect(.cancel)
    // The last item and the outcome were on their way already.
    peer.item(call.header.id, place: 0, "0")
    peer.answer(call, "done")
    #expect(try await task.value.status == .cancelled)
  }

  @Test func theResponseAloneDropsTheItems() async throws {
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("numbers", window: 2)
    let call = try await peer.expect(.call)
    peer.item(call.header.id, place: 0, "0")
    peer.item(call.header.id, place: 1, "1")
    try await peer.barrier()
    async let response = stream.response
    #expect(try await peer.expect(.credit).header.aux == 2)
    peer.item(call.header.id, place: 2, "2")
    #expect(try await peer.expect(.credit).header.aux == 1)
    peer.answer(call, "done")
    #expect(try await response.text == "done")
    let iterator = stream.makeAsyncIterator()
    let error = try await failure { () async throws(HostcallError) in try await iterator.next() }
    #expect(error.code == .invalidArgument)
  }

  @Test func aLostConnectionEndsTheStreamAtOnce() async throws {
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("numbers")
    let call = try await peer.expect(.call)
    peer.item(call.header.id, place: 0, "0")
    try await peer.barrier()
    peer.hangUp()
    let iterator = stream.makeAsyncIterator()
    #expect(try await iterator.next()?.text == "0")
    let error = try await failure { () async throws(HostcallError) in try await iterator.next() }
    #expect(error.code == .connectionLost)
    #expect(error.function == "numbers")
  }

  @Test func aNameThatCannotBeIsThrownByTheLoop() async throws {
    let (client, peer) = try await daemon.connect()
    let error = try await failureOfLoop(over: client.stream("not a name"))
    #expect(error.code == .invalidArgument)
    try await peer.barrier()
  }

  @Test func anOlderDaemonIsNotAsked() async throws {
    let (client, peer) = try await daemon.connect(features: "")
    let error = try await failureOfLoop(over: client.stream("numbers"))
    #expect(error.status == .unavailable)
    #expect(
      "\(error)" == "numbers: UNAVAILABLE: the daemon, fake/1, has no streams: a newer hostcalld names that feature "
        + "in its WELCOME")
    try await peer.barrier()
  }

  /// ITEMs that no daemon may send in answer to the two streams and the call with these ids, of which the second stream
  /// has ended.
  static let brokenItems: [(String, @Sendable (FakePeer, [UInt64]) -> Void)] = [
    ("ITEM at the place 1, not 0", { peer, ids in peer.item(ids[0], place: 1) }),
    ("ITEM at the place 0, not 1", { peer, ids in for _ in 0..<2 { peer.item(ids[0], place: 0) } }),
    ("ITEM without credit", { peer, ids in for place in 0..<3 as Range<UInt32> { peer.item(ids[0], place: place) } }),
    ("ITEM without credit", { peer, ids in peer.item(ids[1], place: 0) }),
    ("ITEM without credit", { peer, ids in peer.item(ids[2], place: 0) }),
    (
      "ITEM after the last one",
      { peer, ids in
        peer.item(ids[0], place: 0, isLast: true)
        peer.item(ids[0], place: 1)
      }
    ),
  ]

  @Test(arguments: brokenItems.indices)
  func anItemOutOfOrderEndsTheConnection(_ index: Int) async throws {
    let (reason, send) = Self.brokenItems[index]
    let (client, peer) = try await daemon.connect()
    let stream = client.stream("numbers", window: 2)
    let first = try await peer.expect(.call)
    let ended = client.stream("numbers", window: 2)
    let second = try await peer.expect(.call)
    peer.answer(second)
    _ = try await ended.response
    async let plain = failure { () async throws(HostcallError) in try await client.call("f") }
    let third = try await peer.expect(.call)
    send(peer, [first.header.id, second.header.id, third.header.id])
    let goaway = try await peer.expect(.goaway)
    #expect(goaway.header.status == .protocolViolation)
    #expect(goaway.text == reason)
    let error = try await failure { () async throws(HostcallError) in try await stream.response }
    #expect(error.code == .connectionLost)
    #expect(error.message.hasSuffix("the daemon broke the protocol: \(reason)"))
    #expect(try await plain.code == .connectionLost)
  }

  @Test func aTooLargeItemCostsItsCallAlone() async throws {
    let (client, peer) = try await daemon.connect { $0.largestFrameBytes = 1_000 }
    let stream = client.stream("numbers")
    let call = try await peer.expect(.call)
    peer.item(call.header.id, place: 0, String(repeating: "x", count: 1_001))
    peer.item(call.header.id, place: 1, "more")
    try await peer.expect(.cancel)
    peer.answer(call, status: .cancelled)
    let error = try await failureOfLoop(over: stream)
    #expect(error.status == .tooLarge)
    #expect(error.message.contains("largestFrameBytes"))
    try await peer.barrier()
  }
}
