import Glibc
import HostcallClient
import HostcallServer
import Testing

/// Where the caller and the worker of a call live.
enum Way: String, CaseIterable, CustomTestStringConvertible {
  case localToLocal, localToRemote, remoteToLocal, remoteToRemote

  var testDescription: String { rawValue }
  var callerIsLocal: Bool { self == .localToLocal || self == .localToRemote }
  var workerIsLocal: Bool { self == .localToLocal || self == .remoteToLocal }
}

/// Local and remote callers and workers of one server, by way.
struct Sides: Sendable {
  let way: Way
  let test: TestServer
  let caller: HostcallClient
  let worker: HostcallClient

  init(_ way: Way, _ change: (inout HostcallServer.Configuration) -> Void = { _ in }) async throws {
    self.way = way
    test = try await TestServer(change)
    caller = try await test.client()
    worker = try await test.client()
  }

  func call(
    _ function: String, _ payload: String = "", timeout: Duration? = nil, options: CallOptions = [],
    metadata: Metadata = [:]
  ) async throws(HostcallError) -> HostcallResponse {
    way.callerIsLocal
      ? try await test.server.call(function, payload, timeout: timeout, options: options, metadata: metadata)
      : try await caller.call(function, payload, timeout: timeout, options: options, metadata: metadata)
  }

  func register(
    _ name: String, concurrency: Int = 0, mode: RegistrationMode = .shared, callerIdentity: Bool = false,
    handler: @escaping @Sendable (HostcallRequest) async throws -> HostcallReply
  ) async throws(HostcallError) {
    if way.workerIsLocal {
      try await test.server.register(
        name, concurrency: concurrency, mode: mode, callerIdentity: callerIdentity, handler: handler)
    } else {
      try await worker.register(
        name, concurrency: concurrency, mode: mode, callerIdentity: callerIdentity, handler: handler)
    }
  }

  func end() async {
    await caller.close()
    await worker.close()
    await test.server.shutdownNow()
  }
}

@Suite("Local and remote callers and workers obey the same rules")
struct FourWaysTests {
  @Test(arguments: Way.allCases)
  func aResultComesBackWithItsEncodingAndMetadata(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("token.fetch", callerIdentity: true) { request in
      #expect(request.caller?.processID == getpid())
      var metadata: Metadata = ["seen": request.metadata["trace"] ?? ""]
      metadata["function"] = request.function
      return HostcallReply("token[\(request.text)]", encoding: .json, metadata: metadata)
    }
    let response = try await sides.call("token.fetch", "s", metadata: ["trace": "t-1"])
    #expect(response.text == "token[s]")
    #expect(response.encoding == .json)
    #expect(response.metadata == ["seen": "t-1", "function": "token.fetch"])
    #expect(response.correlationID != nil)
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aWorkersErrorArrivesIntact(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("fails") { _ in
      throw HostcallFailure(status: Status(rawValue: 200), payload: "no such session", metadata: ["hint": "log in"])
    }
    let error = try await failure { () async throws(HostcallError) in try await sides.call("fails") }
    #expect(error.status == Status(rawValue: 200))
    #expect(error.origin == .worker)
    #expect(error.message == "no such session")
    #expect(error.metadata["hint"] == "log in")
    #expect(error.correlationID != nil)
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func nobodyIsThereAndWaitingHelps(_ way: Way) async throws {
    let sides = try await Sides(way)
    let error = try await failure { () async throws(HostcallError) in try await sides.call("later") }
    #expect(error.status == .notFound)
    #expect(error.origin == .daemon)
    async let waiting = sides.call("later", options: .wait)
    try await sides.register("later") { _ in HostcallReply("now") }
    #expect(try await waiting.text == "now")
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aDeadlineCancelsTheHandlerAndTheLateResultReachesNobody(_ way: Way) async throws {
    let sides = try await Sides(way)
    let cancelled = Gate()
    try await sides.register("slow") { _ in
      await withTaskCancellationHandler {
        await cancelled.wait()
      } onCancel: {
        Task { await cancelled.open() }
      }
      return HostcallReply("too late")
    }
    let error = try await failure { () async throws(HostcallError) in
      try await sides.call("slow", timeout: .milliseconds(500))
    }
    #expect(error.status == .timeout)
    // Had it not reached the handler, nothing would ever be cancelled there.
    try #require(error.message.hasPrefix("slow: no outcome within "), "\(error)")
    await cancelled.wait()
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aCancelledTaskCancelsTheHandler(_ way: Way) async throws {
    let sides = try await Sides(way)
    let started = Gate()
    let cancelled = Gate()
    try await sides.register("slow") { _ in
      await started.open()
      await withTaskCancellationHandler {
        await cancelled.wait()
      } onCancel: {
        Task { await cancelled.open() }
      }
      throw CancellationError()
    }
    let task = Task { try await failure { () async throws(HostcallError) in try await sides.call("slow") } }
    await started.wait()
    task.cancel()
    #expect(try await task.value.status == .cancelled)
    await cancelled.wait()
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aCallInsideAHandlerInheritsDeadlineAndTrace(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("inner") { request in
      HostcallReply("\(request.timeLeft <= .seconds(20)) \(request.metadata["traceparent"] ?? "none")")
    }
    try await sides.register("outer") { _ in
      HostcallReply(try await sides.call("inner", timeout: .seconds(60)).payload)
    }
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    let response = try await sides.call("outer", timeout: .seconds(20), metadata: ["traceparent": trace])
    #expect(response.text == "true \(trace)")
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func limitsHoldForEachOfThem(_ way: Way) async throws {
    let sides = try await Sides(way) { configuration in
      configuration.limits.queuedCallsPerFunction = 1
    }
    let started = Gate()
    let go = Gate()
    try await sides.register("one", concurrency: 1) { _ in
      await started.open()
      await go.wait()
      return HostcallReply("done")
    }
    async let running = sides.call("one")
    await started.wait()
    async let queued = sides.call("one")
    while try await !sides.test.server.call("hostcall.functions").text.contains("\"queued\":1") {
      await Task.yield()
    }
    let error = try await failure { () async throws(HostcallError) in try await sides.call("one") }
    #expect(error.status == .overloaded)
    #expect(error.message == "one: 1 calls wait for it, the most that may (queued-calls-per-function)")
    await go.open()
    #expect(try await running.text == "done")
    #expect(try await queued.text == "done")
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func ownNamesOfTheDaemonAreRefused(_ way: Way) async throws {
    let sides = try await Sides(way)
    let error = try await failure { () async throws(HostcallError) in
      try await sides.register("hostcall.mine") { _ in HostcallReply() }
    }
    #expect(error.status == .invalidArgument)
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func modesHoldBetweenAllOfThem(_ way: Way) async throws {
    let sides = try await Sides(way)
    try await sides.register("only", mode: .exclusive) { _ in HostcallReply("first") }
    for mode in RegistrationMode.allCases {
      let local = try await failure { () async throws(HostcallError) in
        try await sides.test.server.register("only", mode: mode) { _ in "second" }
      }
      let remote = try await failure { () async throws(HostcallError) in
        try await sides.caller.register("only", mode: mode) { _ in "second" }
      }
      #expect(local.status == .alreadyRegistered)
      #expect(remote.status == .alreadyRegistered)
    }
    #expect(try await sides.call("only").text == "first")
    await sides.end()
  }
}
