import HostcallWire
import Testing

@testable import HostcallClient

@Suite(.timeLimit(.minutes(1))) struct ReconnectingTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  @Test func aLostConnectionFailsWhatIsPendingAtOnce() async throws {
    let (client, peer) = try await daemon.connect()
    async let call = failure { () async throws(HostcallError) in try await client.call("f") }
    try await peer.expect(.call)
    async let ping = failure { () async throws(HostcallError) in try await client.ping() }
    try await peer.expect(.ping)
    peer.hangUp()
    let error = try await call
    #expect(error.code == .connectionLost)
    #expect(error.function == "f")
    #expect(
      "\(error)" == "f: the connection to hostcalld at \(daemon.path) was lost: the daemon has closed it")
    #expect(try await ping.code == .connectionLost)
  }

  @Test func aCallerConnectsAnewWithItsNextCall() async throws {
    let (client, peer) = try await daemon.connect()
    async let lost = failure { () async throws(HostcallError) in try await client.call("f") }
    try await peer.expect(.call)
    peer.hangUp()
    _ = try await lost
    #expect(await client.serverInformation == nil)
    async let again = client.call("f")
    let second = try await daemon.accept(instance: "2")
    second.answer(try await second.expect(.call), "back")
    #expect(try await again.text == "back")
    #expect(await client.serverInformation?.instance == "2")
  }

  @Test func aCallWithoutADaemonFailsAtOnce() async throws {
    let (client, peer) = try await daemon.connect()
    daemon.stopListening()
    async let lost = failure { () async throws(HostcallError) in try await client.call("f") }
    try await peer.expect(.call)
    peer.hangUp()
    _ = try await lost
    let error = try await failure { () async throws(HostcallError) in try await client.call("f") }
    #expect(error.code == .cannotConnect)
    #expect("\(error)".hasPrefix("f: cannot reach hostcalld at "))
  }

  @Test func registrationsComeBackWithNewHandles() async throws {
    let (client, peer) = try await daemon.connect()
    async let first = client.register("a", concurrency: 2) { _ in "a" }
    try await peer.acceptRegistration(handle: 1)
    async let second = client.register("b", mode: .exclusive) { _ in "b" }
    try await peer.acceptRegistration(handle: 2)
    let registrations = (try await first, try await second)
    peer.hangUp()
    let again = try await daemon.accept()
    let a = try await again.acceptRegistration(handle: 11)
    let b = try await again.acceptRegistration(handle: 12)
    #expect(a.name == "a" && a.header.aux == 2)
    #expect(b.name == "b" && b.metadata == ["mode": "exclusive"])
    again.invoke(1, handle: 11)
    #expect(try await again.expect(.complete).text == "a")
    again.invoke(2, handle: 12)
    #expect(try await again.expect(.complete).text == "b")
    async let done: Void = registrations.0.unregister()
    let request = try await again.expect(.unregister)
    #expect(request.header.function == 11)
    again.answer(request)
    try await done
    again.hangUp()
    let third = try await daemon.accept()
    #expect(try await third.acceptRegistration(handle: 1).name == "b")
    try await third.barrier()
    var kinds: [String] = []
    await client.close()
    for await event in client.connectionEvents {
      switch event {
      case .connected: kinds.append("connected")
      case .disconnected: kinds.append("disconnected")
      case .reconnectFailed: kinds.append("failed")
      case .registrationFailed: kinds.append("registration")
      case .subscriptionFailed: kinds.append("subscription")
      }
    }
    #expect(kinds == ["connected", "disconnected", "connected", "disconnected", "connected"])
  }

  @Test func attemptsGoOnUntilADaemonIsBack() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.register("f") { _ in "" }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    daemon.stopListening()
    peer.hangUp()
    var attempts = 0
    for await event in client.connectionEvents {
      guard case .reconnectFailed(let error, let wait) = event else { continue }
      #expect(error.code == .cannotConnect)
      #expect((.milliseconds(1) ... .milliseconds(4)).contains(wait))
      attempts += 1
      if attempts == 3 { break }
    }
    let next = try FakeDaemon(directory: daemon.directory)
    try await next.accept().acceptRegistration(handle: 2)
    await client.close()
  }

  @Test func aCallDoesNotWaitForTheBackoff() async throws {
    let (client, peer) = try await daemon.connect {
      $0.reconnect = .whenRegistered(initialDelay: .seconds(3_600), maximumDelay: .seconds(3_600))
    }
    async let registration = client.register("f") { _ in "" }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.hangUp()
    for await event in client.connectionEvents { if case .disconnected = event { break } }
    async let response = client.call("g")
    let again = try await daemon.accept()
    try await again.acceptRegistration(handle: 2)
    again.answer(try await again.expect(.call), "at once")
    #expect(try await response.text == "at once")
  }

  @Test func aCallThatWaitsForTheConnectionCanBeCancelled() async throws {
    let (client, peer) = try await daemon.connect()
    peer.hangUp()
    for await event in client.connectionEvents { if case .disconnected = event { break } }
    let task = Task { try await failure { () async throws(HostcallError) in try await client.call("f") } }
    let again = try await daemon.acceptSilently()
    try await again.expect(.hello)
    task.cancel()
    let error = try await task.value
    #expect(error.status == .cancelled)
    #expect(error.origin == .client)
    again.welcome()
    try await again.barrier()
  }

  @Test func aRunningHandlerIsCancelledWithItsConnectionAndItsOutcomeGoesNowhere() async throws {
    let (client, peer) = try await daemon.connect()
    let (started, ended) = (Mailbox<Void>(), Mailbox<Void>())
    async let registration = client.register("f") { request in
      guard request.text == "wait" else { return "new" }
      started.put()
      try? await Task.sleep(for: .seconds(3_600))
      ended.put()
      return "old"
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(5, handle: 1, "wait")
    _ = await started.next()
    peer.hangUp()
    let again = try await daemon.accept()
    _ = await ended.next()
    try await again.acceptRegistration(handle: 1)
    // The same number, from a daemon that has started over.
    again.invoke(5, handle: 1)
    #expect(try await again.expect(.complete).text == "new")
    try await again.barrier()
  }

  @Test func aRegistrationThatIsNotTakenBackIsTriedAgain() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.register("f", mode: .exclusive) { _ in "" }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.hangUp()
    let again = try await daemon.accept()
    for _ in 0..<3 { again.answer(try await again.expect(.register), status: .alreadyRegistered, "f is taken") }
    try await again.acceptRegistration(handle: 9)
    again.invoke(1, handle: 9)
    try await again.expect(.complete)
    let failed = Mailbox<HostcallError>()
    for await event in client.connectionEvents {
      guard case .registrationFailed(let error) = event else { continue }
      failed.put(error)
      break
    }
    #expect(await failed.next()?.status == .alreadyRegistered)
  }

  @Test func aRegistrationUnderWayFailsWithTheConnection() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in try await client.register("f") { _ in "" } }
    try await peer.expect(.register)
    peer.hangUp()
    #expect(try await error.code == .connectionLost)
    // It is not made behind the back of whoever was told that it failed.
    async let response = client.call("g")
    let again = try await daemon.accept()
    again.answer(try await again.expect(.call))
    _ = try await response
  }

  @Test func whoNeverReconnectsIsClosed() async throws {
    let (client, peer) = try await daemon.connect { $0.reconnect = .never }
    async let registration = client.register("f") { _ in "" }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.hangUp()
    #expect(await client.waitUntilClosed()?.code == .connectionLost)
    let error = try await failure { () async throws(HostcallError) in try await client.call("f") }
    #expect(error.code == .connectionLost)
  }

  @Test func aSilentDaemonIsGivenUp() async throws {
    let (client, peer) = try await daemon.connect { $0.livenessLimit = .milliseconds(20) }
    async let error = failure { () async throws(HostcallError) in try await client.call("f") }
    try await peer.expect(.call)
    try await peer.expect(.ping)
    let got = try await error
    #expect(got.code == .connectionLost)
    #expect(got.message.contains("answered nothing"))
  }

  @Test func aDaemonThatDoesNotTellOfADeadlineIsNotWaitedFor() async throws {
    let (client, peer) = try await daemon.connect { $0.deadlineGrace = .milliseconds(20) }
    let call = try await failure { () async throws(HostcallError) in
      try await client.call("f", timeout: .milliseconds(300))
    }
    #expect(call.status == .timeout && call.origin == .client && call.message.contains("deadlineGrace"))
    let overdue = try await peer.expect(.call)
    try await peer.expect(.cancel)
    let items = client.stream("g", timeout: .milliseconds(300), window: 4).makeAsyncIterator()
    let stream = try await failure { () async throws(HostcallError) in try await items.next() }
    #expect(stream.status == .timeout && stream.origin == .client)
    // What still comes is passed over, and the connection goes on.
    let streamed = try await peer.expect(.call)
    try await peer.expect(.cancel)
    peer.item(streamed.header.id, place: 0)
    peer.answer(streamed)
    peer.answer(overdue)
    async let next = client.call("h", timeout: .seconds(20))
    peer.answer(try await peer.expect(.call))
    _ = try await next
  }

  @Test func aCallThatWaitsForAConnectionEndsAtItsDeadline() async throws {
    let (client, peer) = try await daemon.connect { $0.reconnect = .whenRegistered }
    peer.hangUp()
    try await eventuallyDisconnected(client)
    // The next connection is accepted, and nobody says WELCOME.
    let error = try await failure { () async throws(HostcallError) in
      try await client.call("f", timeout: .milliseconds(30))
    }
    #expect(error.status == .timeout && error.message.contains("no connection"))
    _ = try await daemon.acceptSilently()
    await client.close()
  }

  @Test func whatWaitsForAConnectionIsBounded() async throws {
    let (client, peer) = try await daemon.connect { $0.largestQueueBytes = 100 }
    peer.hangUp()
    try await eventuallyDisconnected(client)
    async let first = client.call("f", [UInt8](repeating: 1, count: 60))
    let next = try await daemon.acceptSilently()
    let error = try await failure { () async throws(HostcallError) in
      try await client.call("f", [UInt8](repeating: 1, count: 60))
    }
    #expect(error.status == .overloaded && error.message.contains("largestQueueBytes"))
    try await next.expect(.hello)
    next.welcome()
    next.answer(try await next.expect(.call))
    _ = try await first
  }

  private func eventuallyDisconnected(_ client: HostcallClient) async throws {
    for await event in client.connectionEvents {
      if case .disconnected = event { return }
    }
  }

  @Test func waitsDoubleUpToTheirLimit() {
    var backoff = ReconnectBackoff(.whenRegistered)
    let waits = (0..<8).map { _ in backoff.nextDelayMilliseconds(randomness: .max) }
    #expect(waits == [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    #expect(backoff.nextDelayMilliseconds(randomness: 0) == 2_500)
    backoff.reset()
    #expect((50...100).contains(backoff.nextDelayMilliseconds()))
    var shortest = ReconnectBackoff(.whenRegistered(initialDelay: .zero, maximumDelay: .zero))
    #expect(shortest.nextDelayMilliseconds(randomness: 0) == 1)
    #expect(shortest.nextDelayMilliseconds(randomness: .max) == 1)
  }
}
