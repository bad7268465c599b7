import HostcallLoop
import HostcallWire
import Testing

@testable import HostcallClient

@Suite(.timeLimit(.minutes(1))) struct ServingTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  @Test func registeringSaysEverything() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.register(
      "files.*", concurrency: 8, mode: .exclusive, timeout: .seconds(2), idempotent: true, callerIdentity: true
    ) { _ in "" }
    let request = try await peer.acceptRegistration(handle: 3)
    #expect(request.name == "files.*")
    #expect(request.header.aux == 8)
    #expect(request.header.timeoutMilliseconds == 2_000)
    #expect(request.metadata == ["mode": "exclusive", "idempotent": "true", "caller": "true"])
    #expect(try await registration.name == "files.*")
  }

  @Test func aRefusedRegistrationIsAnError() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in try await client.register("f") { _ in "" } }
    peer.answer(try await peer.expect(.register), status: .alreadyRegistered, "f is taken")
    let got = try await error
    #expect(got.status == .alreadyRegistered)
    #expect("\(got)" == "f: ALREADY_REGISTERED from the daemon: f is taken")
  }

  @Test(arguments: ["", "a.*.b", "**", "a b"])
  func aPatternThatCannotBeIsRefusedHere(_ name: String) async throws {
    let (client, _) = try await daemon.connect()
    let error = try await failure { () async throws(HostcallError) in try await client.register(name) { _ in "" } }
    #expect(error.code == .invalidArgument)
  }

  @Test func aHandlerGetsEverythingAndAnswersWithEverything() async throws {
    let (client, peer) = try await daemon.connect()
    let requests = Mailbox<HostcallRequest>()
    async let registration = client.register("files.*", callerIdentity: true) { request in
      requests.put(request)
      return HostcallReply("read \(request.text)", encoding: .json, metadata: ["k": "v", "hostcall-caller-uid": "0"])
    }
    try await peer.acceptRegistration(handle: 3)
    _ = try await registration
    peer.invoke(
      77, handle: 3, timeoutMilliseconds: 50_000, name: "files.read",
      metadata: [
        "x": "y", "hostcall-caller-uid": "1000", "hostcall-caller-gid": "100", "hostcall-caller-pid": "42",
        "hostcall-caller-session": "6",
      ], "it")
    let complete = try await peer.expect(.complete)
    #expect(complete.header.id == 77)
    #expect(complete.header.status == .ok)
    #expect(complete.text == "read it")
    #expect(complete.header.encoding == .json)
    #expect(complete.metadata == ["k": "v"])
    let request = try #require(await requests.next())
    #expect(request.function == "files.read")
    #expect(request.correlationID == 77)
    #expect(request.metadata["x"] == "y")
    #expect(request.timeLeft > .zero && request.timeLeft <= .seconds(50))
    let caller = try #require(request.caller)
    #expect(caller.userID == 1_000 && caller.groupID == 100 && caller.processID == 42 && caller.session == 6)
  }

  /// What a handler may come to, and what the caller is told.
  @Test func whatAHandlerReturnsOrThrowsDecidesTheCompletion() async throws {
    struct Broken: Error, CustomStringConvertible { let description = "it is broken" }
    let (client, peer) = try await daemon.connect()
    async let registration = client.register("f") { request -> HostcallReply in
      switch request.text {
      case "failure": throw HostcallFailure(status: Status(rawValue: 150), payload: "own", encoding: .cbor)
      case "ok thrown": throw HostcallFailure(status: .ok, payload: "no")
      case "not a worker's": throw HostcallFailure(status: .notFound, payload: "a")
      case "a daemon's": throw HostcallFailure(status: .shuttingDown, payload: "b")
      case "reserved": throw HostcallFailure(status: Status(rawValue: 9), payload: "c")
      case "other": throw Broken()
      case "cancellation": throw CancellationError()
      case "encoding": return HostcallReply("x", encoding: PayloadEncoding(rawValue: 50))
      default: return HostcallReply()
      }
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    let expected: [(String, Status, String)] = [
      ("failure", Status(rawValue: 150), "own"), ("ok thrown", .failed, "no"), ("not a worker's", .notFound, "a"),
      ("a daemon's", .failed, "b"), ("reserved", .failed, "c"), ("other", .failed, "it is broken"),
      ("cancellation", .failed, "CancellationError()"), ("nothing", .ok, ""),
    ]
    for (number, (text, status, payload)) in expected.enumerated() {
      peer.invoke(UInt64(number + 1), handle: 1, text)
      let complete = try await peer.expect(.complete)
      #expect(complete.header.status == status, "\(text)")
      #expect(complete.text == payload, "\(text)")
    }
    peer.invoke(100, handle: 1, "encoding")
    #expect(try await peer.expect(.complete).header.status == .failed)
  }

  @Test func aHandlerMayReturnNothingOrBytes() async throws {
    let (client, peer) = try await daemon.connect()
    let seen = Mailbox<String>()
    async let nothing = client.register("nothing") { request in seen.put(request.text) }
    try await peer.acceptRegistration(handle: 1)
    _ = try await nothing
    async let bytes = client.register("bytes") { request in request.payload }
    try await peer.acceptRegistration(handle: 2)
    _ = try await bytes
    peer.invoke(1, handle: 1, "a")
    #expect(try await peer.expect(.complete).payload.isEmpty)
    #expect(await seen.next() == "a")
    peer.invoke(2, handle: 2, "b")
    #expect(try await peer.expect(.complete).text == "b")
  }

  @Test func cancelReachesTheHandlersTask() async throws {
    let (client, peer) = try await daemon.connect()
    let started = Mailbox<Void>()
    async let registration = client.register("f") { _ in
      started.put()
      try await Task.sleep(for: .seconds(3_600))
      return ""
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(5, handle: 1)
    _ = await started.next()
    peer.cancel(5)
    let complete = try await peer.expect(.complete)
    #expect(complete.header.id == 5)
    #expect(complete.header.status == .cancelled)
    // One for a call that is not there changes nothing.
    peer.cancel(5)
    try await peer.barrier()
  }

  @Test func aCallInAHandlerInheritsDeadlineTraceAndCancellation() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.register("outer") { [weak client] request in
      guard let client else { return "" }
      switch request.text {
      case "long": return try await client.call("inner", timeout: .seconds(60)).text
      case "short": return try await client.call("inner", timeout: .seconds(10)).text
      default: return try await client.call("inner", metadata: ["traceparent": "own"]).text
      }
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    let trace: Metadata = [
      "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b",
    ]

    peer.invoke(1, handle: 1, timeoutMilliseconds: 50_000, metadata: trace, "long")
    let long = try await peer.expect(.call)
    #expect(long.metadata == trace)
    #expect((1...50_000).contains(long.header.timeoutMilliseconds))
    peer.answer(long, "x")
    #expect(try await peer.expect(.complete).text == "x")

    peer.invoke(2, handle: 1, timeoutMilliseconds: 50_000, "short")
    let short = try await peer.expect(.call)
    #expect(short.metadata.isEmpty)
    #expect((1...10_000).contains(short.header.timeoutMilliseconds))
    peer.answer(short)
    try await peer.expect(.complete)

    peer.invoke(3, handle: 1, timeoutMilliseconds: 50_000, metadata: trace, "own trace")
    let own = try await peer.expect(.call)
    #expect(own.metadata == ["traceparent": "own"])
    #expect((1...50_000).contains(own.header.timeoutMilliseconds))
    peer.cancel(3)
    let cancel = try await peer.expect(.cancel)
    #expect(cancel.header.id == own.header.id)
    peer.answer(own, status: .cancelled)
    #expect(try await peer.expect(.complete).header.status == .cancelled)
  }

  @Test func manualCompletionsComeFromAnyThreadInAnyOrder() async throws {
    let (client, peer) = try await daemon.connect()
    let invocations = Mailbox<HostcallInvocation>()
    async let registration = client.registerManually("f") { invocations.put($0) }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    for id in 1...4 { peer.invoke(UInt64(id), handle: 1, "\(id)") }
    var held: [HostcallInvocation] = []
    for _ in 1...4 { held.append(try #require(await invocations.next())) }
    #expect(held.map(\.request.text) == ["1", "2", "3", "4"])
    for invocation in held.reversed() {
      let sent = Mailbox<Void>()
      onThread {
        invocation.complete("thread \(invocation.request.text)")
        sent.put()
      }
      _ = await sent.next()
    }
    for id in (1...4).reversed() {
      let complete = try await peer.expect(.complete)
      #expect(complete.header.id == UInt64(id))
      #expect(complete.text == "thread \(id)")
    }
  }

  @Test func aLateCompletionIsSentAndItsRejectionTold() async throws {
    let (client, peer) = try await daemon.connect()
    let invocations = Mailbox<HostcallInvocation>()
    let cancelled = Mailbox<Status>()
    async let registration = client.registerManually("f", onCancel: { cancelled.put($1) }) { invocations.put($0) }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(8, handle: 1)
    let invocation = try #require(await invocations.next())
    peer.cancel(8, .timeout)
    #expect(await cancelled.next() == .timeout)
    invocation.complete("late")
    invocation.complete(HostcallFailure(status: .failed, payload: "again"))
    #expect(try await peer.expect(.complete).text == "late")
    #expect(try await peer.expect(.complete).header.status == .failed)
    peer.send(FrameHeader(kind: .rejected, status: .late, id: 8))
    peer.send(FrameHeader(kind: .rejected, status: .duplicate, id: 8))
    var rejections = client.rejections.makeAsyncIterator()
    #expect(await rejections.next() == HostcallRejection(correlationID: 8, status: .late))
    #expect(await rejections.next() == HostcallRejection(correlationID: 8, status: .duplicate))
  }

  @Test func unregisteringLetsWhatRunsFinish() async throws {
    let (client, peer) = try await daemon.connect()
    let gate = Mailbox<Void>()
    async let pending = client.register("f") { _ in
      _ = await gate.next()
      return "done"
    }
    try await peer.acceptRegistration(handle: 4)
    let registration = try await pending
    async let done: Void = registration.unregister()
    let request = try await peer.expect(.unregister)
    #expect(request.header.function == 4)
    // This one crossed the UNREGISTER.
    peer.invoke(1, handle: 4)
    peer.answer(request)
    try await done
    gate.put()
    #expect(try await peer.expect(.complete).text == "done")
    try await registration.unregister()
    try await peer.barrier()
  }

  @Test func anInvokeThatIsTooLargeCostsItsCallOnly() async throws {
    let (client, peer) = try await daemon.connect { $0.largestFrameBytes = 1_000 }
    async let registration = client.register("f") { $0.payload }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(1, handle: 1, String(repeating: "x", count: 1_001))
    let complete = try await peer.expect(.complete)
    #expect(complete.header.status == .bufferTooSmall)
    #expect(complete.text.contains("1001"))
    peer.invoke(2, handle: 1, "small")
    #expect(try await peer.expect(.complete).text == "small")
  }

  @Test func aThousandCallsRunAtOnceAndEachIsCompletedOnce() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.register("f", concurrency: 1_000) { request in
      await Task.yield()
      return request.payload
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    for id in 1...1_000 { peer.invoke(UInt64(id), handle: 1, "\(id)") }
    var seen: Set<UInt64> = []
    for _ in 1...1_000 {
      let complete = try await peer.expect(.complete)
      #expect(complete.text == "\(complete.header.id)")
      seen.insert(complete.header.id)
    }
    #expect(seen.count == 1_000)
    try await peer.barrier()
  }
}
