import HostcallWire
import Testing

@testable import HostcallClient

@Suite(.timeLimit(.minutes(1))) struct EventTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  /// Events of a pattern, after the daemon has taken the subscription.
  private func events(_ client: HostcallClient, _ peer: FakePeer, _ pattern: String) async throws -> HostcallEvents {
    async let events = client.events(pattern)
    let request = try await peer.expect(.subscribe)
    #expect(request.name == pattern)
    peer.answer(request)
    return try await events
  }

  // MARK: Subscribing

  @Test func anEventComesWithEverything() async throws {
    let (client, peer) = try await daemon.connect()
    let events = try await events(client, peer, "door.*")
    peer.event(1, "door.opened", metadata: ["k": "v"], "front", encoding: .json)
    peer.event(4, "door.closed", dropped: 2)
    var iterator = events.makeAsyncIterator()
    let first = try #require(await iterator.next())
    #expect(first.name == "door.opened")
    #expect(first.text == "front")
    #expect(first.encoding == .json)
    #expect(first.metadata == ["k": "v"])
    #expect(first.place == 1)
    #expect(first.droppedBefore == 0)
    #expect(!first.followsGap)
    let second = try #require(await iterator.next())
    #expect(second.place == 4)
    #expect(second.droppedBefore == 2)
  }

  @Test func consumersOfOnePatternShareASubscriptionUntilTheLastIsGone() async throws {
    let (client, peer) = try await daemon.connect()
    var first: HostcallEvents? = try await events(client, peer, "door.*")
    var second: HostcallEvents? = try await client.events("door.*")
    try await peer.barrier()
    peer.event(1, "door.opened")
    var iterators = (first?.makeAsyncIterator(), second?.makeAsyncIterator())
    #expect(try await iterators.0?.next()?.place == 1)
    #expect(try await iterators.1?.next()?.place == 1)
    first = nil
    iterators.0 = nil
    try await peer.barrier()
    second = nil
    iterators.1 = nil
    let request = try await peer.expect(.unsubscribe)
    #expect(request.name == "door.*")
    peer.answer(request)
    // An event that was on its way.
    peer.event(2, "door.opened")
    try await peer.barrier()
    _ = try await events(client, peer, "door.*")
  }

  @Test func twoThatSubscribeAtOnceAskOnce() async throws {
    let (client, peer) = try await daemon.connect()
    async let first = client.events("a")
    async let second = client.events("a")
    let request = try await peer.expect(.subscribe)
    try await peer.barrier()
    peer.answer(request)
    let both = (try await first, try await second)
    try await peer.barrier()
    withExtendedLifetime(both) {}
  }

  @Test func aRefusedSubscriptionIsAnErrorAndForgotten() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in try await client.events("a") }
    peer.answer(try await peer.expect(.subscribe), status: .denied, "a: no rule allows it")
    #expect("\(try await error)" == "a: DENIED from the daemon: no rule allows it")
    _ = try await events(client, peer, "a")
  }

  @Test(arguments: ["", "a.*.b", "**", "a b"])
  func aPatternThatCannotBeIsRefusedHere(_ pattern: String) async throws {
    let (client, peer) = try await daemon.connect()
    let error = try await failure { () async throws(HostcallError) in try await client.events(pattern) }
    #expect(error.code == .invalidArgument)
    try await peer.barrier()
  }

  @Test func leavingTheLoopEndsTheSubscription() async throws {
    let (client, peer) = try await daemon.connect()
    let task = Task {
      for try await event in try await client.events("a") { return event.text }
      return "none"
    }
    peer.answer(try await peer.expect(.subscribe))
    peer.event(1, "a", "x")
    #expect(try await task.value == "x")
    try await peer.expect(.unsubscribe)
  }

  @Test func aCancelledTaskEndsItsLoopAndTheSubscription() async throws {
    let (client, peer) = try await daemon.connect()
    let task = Task {
      for try await _ in try await client.events("a") {}
    }
    peer.answer(try await peer.expect(.subscribe))
    task.cancel()
    try await task.value
    try await peer.expect(.unsubscribe)
  }

  @Test func aConsumerThatDoesNotTakeLosesTheOldest() async throws {
    let (client, peer) = try await daemon.connect { $0.waitingEvents = 10 }
    let events = try await events(client, peer, "a")
    for place in 1...5_000 as ClosedRange<UInt64> { peer.event(place, "a") }
    try await peer.barrier()
    var iterator = events.makeAsyncIterator()
    let first = try #require(await iterator.next())
    #expect(first.place == 4_991)
    #expect(first.droppedBefore == 4_990)
    #expect(try await iterator.next()?.droppedBefore == 0)
  }

  @Test func subscriptionsComeBackAfterTheConnectionWithAGap() async throws {
    let (client, peer) = try await daemon.connect()
    let doors = try await events(client, peer, "door.*")
    let windows = try await events(client, peer, "window.*")
    peer.event(7, "door.opened")
    var iterator = doors.makeAsyncIterator()
    #expect(try await iterator.next()?.place == 7)
    peer.hangUp()
    let again = try await daemon.accept()
    for pattern in ["door.*", "window.*"] {
      let request = try await again.expect(.subscribe)
      #expect(request.name == pattern)
      again.answer(request)
    }
    again.event(1, "door.closed")
    again.event(2, "door.opened")
    let first = try #require(await iterator.next())
    #expect(first.name == "door.closed")
    #expect(first.place == 1)
    #expect(first.followsGap)
    #expect(try await iterator.next()?.followsGap == false)
    withExtendedLifetime(windows) {}
  }

  @Test func aSubscriptionThatComesTooEarlyIsTriedAgainAndOneThatIsDeniedEnds() async throws {
    let (client, peer) = try await daemon.connect()
    let busy = try await events(client, peer, "busy")
    let denied = try await events(client, peer, "denied")
    peer.hangUp()
    let again = try await daemon.accept()
    again.answer(try await again.expect(.subscribe), status: .overloaded, "too many")
    again.answer(try await again.expect(.subscribe), status: .denied, "denied: no more")
    let error = try await failure { () async throws(HostcallError) in for try await _ in denied {} }
    #expect(error.status == .denied)
    let request = try await again.expect(.subscribe)
    #expect(request.name == "busy")
    again.answer(request)
    again.event(1, "busy")
    var iterator = busy.makeAsyncIterator()
    #expect(try await iterator.next()?.followsGap == true)
    await client.close()
    var isTold = false
    for await event in client.connectionEvents {
      if case .subscriptionFailed(let error) = event { isTold = error.status == .overloaded }
    }
    #expect(isTold)
  }

  @Test func eventsKeepTheirClientAliveAndEndWithIt() async throws {
    async let connecting = HostcallClient.connect(daemon.configuration())
    let peer = try await daemon.accept()
    var client: HostcallClient? = try await connecting
    let events = try await events(try #require(client), peer, "a")
    client = nil
    try await peer.barrier()
    peer.event(1, "a")
    do {
      var iterator = events.makeAsyncIterator()
      #expect(try await iterator.next()?.place == 1)
    }
    try await peer.barrier()
  }

  @Test func closingTheClientEndsTheLoop() async throws {
    let (client, peer) = try await daemon.connect()
    let events = try await events(client, peer, "a")
    peer.event(1, "a")
    try await peer.barrier()
    await client.close()
    var count = 0
    for try await _ in events { count += 1 }
    #expect(count == 1)
    let error = try await failure { () async throws(HostcallError) in try await client.events("a") }
    #expect(error.code == .closed)
  }

  @Test func aLostConnectionThatDoesNotComeBackIsAnError() async throws {
    let (client, peer) = try await daemon.connect { $0.reconnect = .never }
    let events = try await events(client, peer, "a")
    peer.hangUp()
    let error = try await failure { () async throws(HostcallError) in for try await _ in events {} }
    #expect(error.code == .connectionLost)
  }

  @Test func anOlderDaemonIsNotAsked() async throws {
    let (client, peer) = try await daemon.connect(features: "streams")
    let error = try await failure { () async throws(HostcallError) in try await client.events("a") }
    #expect(error.status == .unavailable)
    let refused = try await failure { () async throws(HostcallError) in try await client.publish("a") }
    #expect(
      "\(refused)" == "a: UNAVAILABLE: the daemon, fake/1, has no events: a newer hostcalld names that feature in its "
        + "WELCOME")
    try await peer.barrier()
  }

  @Test func anEventThatNobodyAskedForEndsTheConnection() async throws {
    let (client, peer) = try await daemon.connect()
    peer.event(1, "a")
    #expect(try await peer.expect(.goaway).text == "EVENT without a subscription")
    await client.close()
  }

  // MARK: Publishing

  @Test func publishingSaysEverythingAndHearsHowManyThereAre() async throws {
    let (client, peer) = try await daemon.connect()
    async let count = client.publish("door.opened", "front", encoding: .json, metadata: ["k": "v"])
    let request = try await peer.expect(.publish)
    #expect(request.name == "door.opened")
    #expect(request.text == "front")
    #expect(request.header.encoding == .json)
    #expect(request.metadata == ["k": "v"])
    #expect(request.header.id >> 63 == 1)
    peer.answer(request, aux: 3)
    #expect(try await count == 3)
  }

  @Test func whatIsForgottenHasNoRequest() async throws {
    let (client, peer) = try await daemon.connect()
    try await client.publishAndForget("door.opened", [1, 2] as [UInt8])
    let request = try await peer.expect(.publish)
    #expect(request.header.id == 0)
    #expect(request.payload == [1, 2])
  }

  @Test func whatCannotBePublishedIsRefused() async throws {
    let (client, peer) = try await daemon.connect(largestBodyBytes: 100)
    for name in ["", "door.*", "*", "hostcall.mine"] {
      let error = try await failure { () async throws(HostcallError) in try await client.publish(name) }
      #expect(error.code == .invalidArgument, "\(name)")
    }
    let reserved = try await failure { () async throws(HostcallError) in
      try await client.publish("a", metadata: ["hostcall-x": "y"])
    }
    #expect(reserved.code == .invalidArgument)
    let large = try await failure { () async throws(HostcallError) in
      try await client.publishAndForget("a", [UInt8](repeating: 0, count: 100))
    }
    #expect(large.status == .tooLarge)
    async let denied = failure { () async throws(HostcallError) in try await client.publish("a") }
    peer.answer(try await peer.expect(.publish), status: .denied, "a: no rule allows it")
    #expect(try await denied.status == .denied)
  }

  @Test func aLostConnectionFailsWhatIsBeingPublished() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in try await client.publish("a") }
    try await peer.expect(.publish)
    peer.hangUp()
    let got = try await error
    #expect(got.code == .connectionLost)
    #expect(got.function == "a")
  }
}
