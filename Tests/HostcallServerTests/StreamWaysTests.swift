import HostcallClient
import HostcallServer
import Testing

extension Sides {
  /// On a machine that is busy with other tests, thousands of items one by one take their time.
  private static let plenty = Duration.seconds(600)

  func stream(
    _ function: String, _ payload: String = "", timeout: Duration = plenty, window: Int? = nil
  ) -> HostcallStream {
    way.callerIsLocal
      ? test.server.stream(function, payload, timeout: timeout, window: window)
      : caller.stream(function, payload, timeout: timeout, window: window)
  }

  func stream(
    _ function: String, arguments: AsyncStream<String>, window: Int? = nil
  ) -> HostcallStream {
    way.callerIsLocal
      ? test.server.stream(function, arguments: arguments, timeout: Self.plenty, window: window)
      : caller.stream(function, arguments: arguments, timeout: Self.plenty, window: window)
  }

  func call(
    _ function: String, arguments: some AsyncSequence<String, any Error> & Sendable
  ) async throws(HostcallError) -> HostcallResponse {
    way.callerIsLocal
      ? try await test.server.call(function, arguments: arguments, timeout: Self.plenty)
      : try await caller.call(function, arguments: arguments, timeout: Self.plenty)
  }
}

/// The numbers from 0, as text; then an error, if there is one.
struct Numbers: AsyncSequence, Sendable {
  struct Torn: Error, CustomStringConvertible { let description = "the tape is torn" }

  let count: Int
  var isTorn = false

  struct Iterator: AsyncIteratorProtocol {
    let numbers: Numbers
    var next = 0

    mutating func next() async throws -> String? {
      guard next < numbers.count else {
        if numbers.isTorn { throw Torn() }
        return nil
      }
      defer { next += 1 }
      return "\(next)"
    }
  }

  func makeAsyncIterator() -> Iterator { Iterator(numbers: self) }

  /// The same, as fast as they are taken, without an end.
  static func endless() -> AsyncStream<String> {
    AsyncStream { "1" }
  }
}

@Suite("Streams between local and remote callers and workers", .timeLimit(.minutes(10)))
struct StreamWaysTests {
  @Test(arguments: Way.allCases)
  func thousandsOfResultsComeInOrderAndThenTheResponse(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("numbers") { request in
      for number in 0..<(Int(request.text) ?? 0) { try await request.results.send("\(number)") }
      return HostcallReply("done", metadata: ["k": "v"])
    }
    for window in [1, 3, nil] {
      let stream = sides.stream("numbers", "3000", window: window)
      var next = 0
      for try await item in stream {
        #expect(item.text == "\(next)")
        next += 1
      }
      #expect(next == 3_000)
      let response = try await stream.response
      #expect(response.text == "done")
      #expect(response.metadata["k"] == "v")
    }
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aSlowConsumerSlowsItsProducer(_ way: Way) async throws {
    let sides = try await Sides(way)
    let produced = Counter()
    try await sides.register("numbers") { request in
      while true {
        try await request.results.send("x")
        await produced.add()
      }
    }
    let iterator = sides.stream("numbers", window: 4).makeAsyncIterator()
    for taken in 1...200 {
      #expect(try await iterator.next()?.text == "x")
      // What was taken, a window ahead of it, and what may be handed in before the loop sees that credit is used up.
      #expect(await produced.count <= taken + 4)
    }
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func thousandsOfArgumentsReachTheHandler(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("sum") { request in
      var sum = 0
      for try await item in request.arguments { sum += Int(item.text) ?? 0 }
      return HostcallReply("\(sum)")
    }
    #expect(try await sides.call("sum", arguments: Numbers(count: 3_000)).text == "4498500")
    #expect(try await sides.call("sum", arguments: Numbers(count: 0)).text == "0")
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func argumentsAndResultsFlowAtOnce(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("echo") { request in
      for try await item in request.arguments { try await request.results.send(item) }
      return HostcallReply()
    }
    let (elements, continuation) = AsyncStream<String>.makeStream()
    let iterator = sides.stream("echo", arguments: elements).makeAsyncIterator()
    for number in 0..<500 {
      continuation.yield("\(number)")
      #expect(try await iterator.next()?.text == "\(number)")
    }
    continuation.finish()
    #expect(try await iterator.next() == nil)
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func leavingTheLoopCancelsTheHandler(_ way: Way) async throws {
    let sides = try await Sides(way)
    let cancelled = Gate()
    try await sides.register("numbers") { request in
      do {
        while true { try await request.results.send("x") }
      } catch {
        if Task.isCancelled { await cancelled.open() }
        throw error
      }
    }
    var count = 0
    for try await _ in sides.stream("numbers") {
      count += 1
      if count == 100 { break }
    }
    await cancelled.wait()
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aHandlerThatHasEnoughEndsTheCall(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("first") { request in
      for try await item in request.arguments { return HostcallReply(item.text) }
      return HostcallReply("none")
    }
    let response = try await sides.stream("first", arguments: Numbers.endless()).response
    #expect(response.text == "1")
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aSequenceThatFailsCancelsTheHandler(_ way: Way) async throws {
    let sides = try await Sides(way)
    let cancelled = Gate()
    try await sides.register("sum") { request in
      do {
        for try await _ in request.arguments {}
      } catch {
        await cancelled.open()
      }
      return HostcallReply()
    }
    let error = try await failure { () async throws(HostcallError) in
      try await sides.call("sum", arguments: Numbers(count: 10, isTorn: true))
    }
    #expect("\(error)" == "sum: CANCELLED: its arguments ended with an error: the tape is torn")
    await cancelled.wait()
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func itemsComeBeforeTheErrorThatEndsThem(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("numbers") { request in
      try await request.results.send("0")
      throw HostcallFailure(status: Status(rawValue: 200), payload: "no more")
    }
    let iterator = sides.stream("numbers").makeAsyncIterator()
    #expect(try await iterator.next()?.text == "0")
    let error = try await failure { () async throws(HostcallError) in try await iterator.next() }
    #expect(error.status == Status(rawValue: 200))
    #expect(error.origin == .worker)
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aDeadlineEndsBothSides(_ way: Way) async throws {
    let sides = try await Sides(way)
    let ended = Gate()
    try await sides.register("stuck") { request in
      do {
        for try await _ in request.arguments {}
        while true { try await request.results.send("x") }
      } catch {
        await ended.open()
        throw error
      }
    }
    let stream = sides.stream("stuck", timeout: .milliseconds(300), window: 2)
    let error = try await failure { () async throws(HostcallError) in
      for try await _ in stream { await ended.wait() }
    }
    #expect(error.status == .timeout)
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aPlainCallOfAStreamingHandlerSaysWhatIsWrong(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("numbers") { request in
      try await request.results.send("0")
      return HostcallReply()
    }
    let error = try await failure { () async throws(HostcallError) in try await sides.call("numbers") }
    #expect(error.status == .failed)
    #expect(error.message.contains("the caller takes no items"))
    await sides.end()
  }

  @Test(arguments: [Way.localToRemote, .remoteToRemote])
  func aLostWorkerEndsAStreamThatHasBegunAndNobodyGoesOnWithIt(_ way: Way) async throws {
    let sides = try await Sides(way)
    let second = try await sides.test.client()
    for worker in [sides.worker, second] {
      try await worker.register("numbers", idempotent: true) { request in
        try await request.results.send("0")
        try await Task.sleep(for: .seconds(3_600))
      }
    }
    let iterator = sides.stream("numbers").makeAsyncIterator()
    #expect(try await iterator.next()?.text == "0")
    await sides.worker.close()
    await second.close()
    let error = try await failure { () async throws(HostcallError) in try await iterator.next() }
    #expect(error.status == .workerLost)
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func theEndOfTheServerEndsStreams(_ way: Way) async throws {
    let sides = try await Sides(way)
    let started = Gate()
    try await sides.register("numbers") { request in
      await started.open()
      while true { try await request.results.send("x") }
    }
    let stream = sides.stream("numbers")
    await started.wait()
    let ending = Task { await sides.test.server.shutdownNow() }
    let error = try await failure { () async throws(HostcallError) in for try await _ in stream {} }
    #expect(error.status == .shuttingDown || error.code == .connectionLost || error.code == .closed)
    await ending.value
    await sides.end()
  }
}

/// Counts from any task.
actor Counter {
  private(set) var count = 0

  func add() { count += 1 }
}
