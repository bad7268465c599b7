import HostcallWire
import Testing

@testable import HostcallClient

@Suite(.timeLimit(.minutes(1))) struct LeavingTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  @Test func aStoppingDaemonGetsOutcomesAndNoNewCalls() async throws {
    let (client, peer) = try await daemon.connect()
    let gate = Mailbox<Void>()
    async let registration = client.register("f") { _ in
      _ = await gate.next()
      return "finished"
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    async let pending = client.call("g")
    let call = try await peer.expect(.call)
    peer.invoke(1, handle: 1)
    peer.goaway(.shuttingDown, "stopping")
    try await peer.barrier()
    let refused = try await failure { () async throws(HostcallError) in try await client.call("h") }
    #expect(refused.status == .shuttingDown)
    gate.put()
    #expect(try await peer.expect(.complete).text == "finished")
    peer.answer(call, "too")
    #expect(try await pending.text == "too")
    peer.hangUp()
    let again = try await daemon.accept()
    try await again.acceptRegistration(handle: 1)
  }

  @Test func aGoawayWithAReasonEndsTheConnectionWithIt() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in try await client.call("f") }
    try await peer.expect(.call)
    peer.goaway(.protocolViolation, "CALL has the flag 0x80")
    let got = try await error
    #expect(got.code == .connectionLost)
    #expect(got.status == .protocolViolation)
    #expect(got.origin == .daemon)
    #expect(got.message.hasSuffix("PROTOCOL from the daemon: CALL has the flag 0x80"))
    try await peer.expectEnd()
  }

  @Test func shutdownFinishesHandlersAndTheirCalls() async throws {
    let (client, peer) = try await daemon.connect()
    let gate = Mailbox<Void>()
    async let registration = client.register("f") { [weak client] request in
      _ = await gate.next()
      guard let client else { return "no client" }
      return try await client.call("inner", request.payload).text
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(1, handle: 1, "one")
    try await peer.barrier()
    async let done: Void = client.shutdown()
    try await peer.expect(.goaway)
    // This one crossed the GOAWAY.
    peer.invoke(2, handle: 1, "two")
    try await peer.answerPing()
    try await peer.barrier()
    let refused = try await failure { () async throws(HostcallError) in try await client.call("outside") }
    #expect(refused.code == .closed)
    for _ in 0..<2 {
      gate.put()
      let call = try await peer.expect(.call)
      peer.answer(call, "inner \(call.text)")
      #expect(try await peer.expect(.complete).text == "inner \(call.text)")
    }
    await done
    try await peer.expectEnd()
    #expect(await client.waitUntilClosed() == nil)
    let closed = try await failure { () async throws(HostcallError) in try await client.call("f") }
    #expect("\(closed)" == "f: this client is closed")
  }

  @Test func shutdownOfAnIdleClientClosesIt() async throws {
    let (client, peer) = try await daemon.connect()
    async let done: Void = client.shutdown()
    try await peer.expect(.goaway)
    try await peer.answerPing()
    await done
    try await peer.expectEnd()
    await client.shutdown()
    await client.close()
  }

  @Test func aDaemonThatClosesDuringShutdownEndsIt() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.register("f") { _ in "" }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    async let done: Void = client.shutdown()
    try await peer.expect(.goaway)
    peer.hangUp()
    await done
  }

  @Test func closeFailsWhatIsUnderWayAtOnce() async throws {
    let (client, peer) = try await daemon.connect()
    let (started, ended) = (Mailbox<Void>(), Mailbox<Void>())
    async let registration = client.register("f") { _ in
      started.put()
      try? await Task.sleep(for: .seconds(3_600))
      ended.put()
    }
    try await peer.acceptRegistration(handle: 1)
    let held = try await registration
    peer.invoke(1, handle: 1)
    _ = await started.next()
    async let error = failure { () async throws(HostcallError) in try await client.call("g") }
    try await peer.expect(.call)
    await client.close()
    #expect(try await error.code == .closed)
    _ = await ended.next()
    try await peer.expectEnd()
    try await held.unregister()
    let late = try await failure { () async throws(HostcallError) in try await client.register("h") { _ in "" } }
    #expect(late.code == .closed)
    #expect(await client.serverInformation == nil)
    let ping = try await failure { () async throws(HostcallError) in try await client.ping() }
    #expect(ping.code == .closed)
    for await _ in client.rejections {}
  }

  /// What no daemon may send, with one call (its id in `id`) outstanding and the handle 1 registered.
  static let garbage: [(String, [UInt8])] = [
    ("bytes of something else", Array("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".utf8)),
    (
      "a second WELCOME",
      FrameEncoder.encode(FrameHeader(kind: .welcome, id: 1, function: 1), metadata: ["max-frame": "1"])
    ),
    ("a RESULT for nothing", FrameEncoder.encode(FrameHeader(kind: .result, id: 4_711))),
    (
      "an INVOKE of nothing",
      FrameEncoder.encode(FrameHeader(kind: .invoke, id: 1, function: 55, timeoutMilliseconds: 1))
    ),
    ("a CALL", FrameEncoder.encode(FrameHeader(kind: .call, id: 1), name: "f")),
    ("an ITEM", FrameEncoder.encode(FrameHeader(kind: .item, id: 1 << 63 | 4_711))),
    ("an EVENT", FrameEncoder.encode(FrameHeader(kind: .event, id: 1), name: "f")),
    (
      "descriptors",
      FrameEncoder.encode(FrameHeader(kind: .result, flags: .descriptors, id: 1), metadata: ["descriptors": "1"])
    ),
    ("a reserved status", FrameEncoder.encode(FrameHeader(kind: .goaway, status: Status(rawValue: 50)))),
    (
      "an INVOKE twice",
      FrameEncoder.encode(FrameHeader(kind: .invoke, id: 1, function: 1, timeoutMilliseconds: 1))
        + FrameEncoder.encode(FrameHeader(kind: .invoke, id: 1, function: 1, timeoutMilliseconds: 1))
    ),
  ]

  @Test(arguments: garbage.indices)
  func aDaemonThatBreaksTheProtocolLosesTheConnection(_ index: Int) async throws {
    let (client, peer) = try await daemon.connect { $0.reconnect = .never }
    async let registration = client.registerManually("f") { _ in }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    async let error = failure { () async throws(HostcallError) in try await client.call("g") }
    try await peer.expect(.call)
    peer.send(Self.garbage[index].1)
    let got = try await error
    #expect(got.code == .connectionLost)
    #expect(got.status == .protocolViolation)
    #expect(got.message.contains("the daemon broke the protocol"))
    let goaway = try await peer.expect(.goaway)
    #expect(goaway.header.status == .protocolViolation)
    #expect(!goaway.payload.isEmpty)
    try await peer.expectEnd()
  }

  @Test func anInvokeOfAPatternNeedsAName() async throws {
    let (client, peer) = try await daemon.connect { $0.reconnect = .never }
    async let registration = client.register("f.*") { _ in "" }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(1, handle: 1)
    #expect(await client.waitUntilClosed()?.status == .protocolViolation)
  }

  @Test func aFrameCutShortIsToldApart() async throws {
    let (client, peer) = try await daemon.connect { $0.reconnect = .never }
    peer.send(Array(FrameEncoder.encode(FrameHeader(kind: .ping, id: 1), payload: [1, 2]).dropLast()))
    peer.hangUp()
    #expect(await client.waitUntilClosed()?.message.hasSuffix("in the middle of a frame") == true)
  }
}
