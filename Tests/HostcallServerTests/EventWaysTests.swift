import HostcallClient
import HostcallServer
import Testing

extension Sides {
  /// Events where calls come from.
  func events(_ pattern: String) async throws(HostcallError) -> HostcallEvents {
    way.callerIsLocal ? try await test.server.events(pattern) : try await caller.events(pattern)
  }

  /// Publishes where workers live.
  func publish(_ name: String, _ payload: String = "") async throws(HostcallError) -> Int {
    way.workerIsLocal ? try await test.server.publish(name, payload) : try await worker.publish(name, payload)
  }

  func publishAndForget(_ name: String, _ payload: String = "") async throws(HostcallError) {
    if way.workerIsLocal {
      try await test.server.publishAndForget(name, payload)
    } else {
      try await worker.publishAndForget(name, payload)
    }
  }
}

@Suite("Events between local and remote subscribers and publishers", .timeLimit(.minutes(10)))
struct EventWaysTests {
  @Test(arguments: Way.allCases)
  func anEventReachesItsSubscribersInOrder(_ way: Way) async throws {
    let sides = try await Sides(way)
    #expect(try await sides.publish("door.opened") == 0)
    var iterator = try await sides.events("door.*").makeAsyncIterator()
    #expect(try await sides.publish("door.opened", "front") == 1)
    #expect(try await sides.publish("window.opened") == 0)
    for number in 0..<500 { try await sides.publishAndForget("door.knocked", "\(number)") }
    let first = try #require(await iterator.next())
    #expect(first.name == "door.opened")
    #expect(first.text == "front")
    #expect(first.place == 1)
    for number in 0..<500 {
      let event = try #require(await iterator.next())
      #expect(event.text == "\(number)")
      #expect(event.droppedBefore == 0)
    }
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func severalConsumersAndPatternsGetAnEventOnceEach(_ way: Way) async throws {
    let sides = try await Sides(way)
    var iterators: [HostcallEvents.Iterator] = []
    for pattern in ["door.*", "door.*", "door.opened", "*"] {
      iterators.append(try await sides.events(pattern).makeAsyncIterator())
    }
    // They are one subscriber, who gets it once.
    #expect(try await sides.publish("door.opened", "1") == 1)
    #expect(try await sides.publish("door.opened", "2") == 1)
    for index in iterators.indices {
      #expect(try await iterators[index].next()?.text == "1")
      #expect(try await iterators[index].next()?.text == "2")
    }
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func whoIsGoneIsNoSubscriber(_ way: Way) async throws {
    let sides = try await Sides(way)
    do {
      let events = try await sides.events("door.*")
      #expect(try await sides.publish("door.opened") == 1)
      withExtendedLifetime(events) {}
    }
    // Letting go is heard a moment later.
    while try await sides.publish("door.opened") > 0 { await Task.yield() }
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func theDaemonsOwnEventsCome(_ way: Way) async throws {
    let sides = try await Sides(way)
    var iterator = try await sides.events("hostcall.function.*").makeAsyncIterator()
    try await sides.register("token.fetch") { _ in HostcallReply() }
    let event = try #require(await iterator.next())
    #expect(event.name == "hostcall.function.registered")
    #expect(event.encoding == .json)
    #expect(event.text.contains("\"token.fetch\""))
    let error = try await failure { () async throws(HostcallError) in try await sides.publish("hostcall.mine") }
    #expect(error.code == .invalidArgument)
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func theEndOfTheServerEndsTheLoop(_ way: Way) async throws {
    let sides = try await Sides(way)
    let events = try await sides.events("*")
    async let ending: Void = sides.test.server.shutdownNow()
    if way.callerIsLocal {
      for try await _ in events {}
    } else {
      let error = try await failure { () async throws(HostcallError) in for try await _ in events {} }
      #expect(error.code == .connectionLost)
    }
    await ending
    await sides.end()
  }
}
