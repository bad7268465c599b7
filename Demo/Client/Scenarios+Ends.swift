import HostcallClient

extension Scenario {
  /// `park` waits for ever; the daemon ends it, tells the caller and cancels the worker's task.
  @Sendable static func deadline(_ stage: Stage) async throws {
    let before = try await cancelsSeen(stage)
    try await Gate.open("demo.gate", on: stage) { gate in
      let began = ContinuousClock.now
      _ = try await stage.failingCall(
        "park", gate.name, expecting: .timeout, from: .daemon, timeout: .milliseconds(500))
      let took = ContinuousClock.now - began
      try expect(took >= .milliseconds(500), "the time until TIMEOUT", expected: "500 ms", came: Report.time(took))
    }
    try expect("cancels that the worker saw", try await cancelsSeen(stage), is: before + 1)
  }

  /// The call is cancelled once the worker has said that it runs.
  @Sendable static func cancel(_ stage: Stage) async throws {
    let before = try await cancelsSeen(stage)
    try await Gate.open("demo.gate", on: stage) { gate in
      let call = Task { try await stage.failingCall("park", gate.name, expecting: .cancelled, from: .daemon) }
      let arrival = await Task { try await gate.visitor() }.result
      if case .success(let visitor) = arrival { Report.step("park runs in worker \(visitor.text); cancelling it") }
      call.cancel()
      _ = try await call.value
      _ = try arrival.get()
    }
    try expect("cancels that the worker saw", try await cancelsSeen(stage), is: before + 1)
  }

  private static func cancelsSeen(_ stage: Stage) async throws -> Int {
    Int(try await stage.call("cancels").text) ?? -1
  }

  /// `late` answers only after its deadline, `twice` answers twice; the worker tells what was refused.
  @Sendable static func late(_ stage: Stage) async throws {
    try await Gate.open("demo.rejected", on: stage) { rejections in
      let error = try await stage.failingCall(
        "late", expecting: .timeout, from: .daemon, timeout: .milliseconds(100))
      let late = try await rejections.visitor()
      Report.step("the worker's completion was refused: \(late.text)")
      try expect("the refusal", late.text, is: "\(error.correlationID ?? 0) LATE")

      let response = try await stage.call("twice")
      try expect("the answer", response.text, is: "first")
      let second = try await rejections.visitor()
      Report.step("the worker's second completion was refused: \(second.text)")
      try expect("the refusal", second.text, is: "\(response.correlationID ?? 0) DUPLICATE")
    }
  }

  /// A worker of its own is killed while it runs a call; then a new one takes its place.
  @Sendable static func lost(_ stage: Stage) async throws {
    let worker = try await WorkerProcess.start(on: stage, prefix: "victim")
    defer { worker.kill() }
    try await Gate.open("demo.gate", on: stage, answer: killer(of: [worker])) { gate in
      _ = try await stage.failingCall("victim.visit", gate.name, expecting: .workerLost, from: .daemon)
    }
    await worker.killAndWait()
    _ = try await stage.failingCall("victim.echo", expecting: .notFound, from: .daemon)
    _ = try await stage.call("echo", "the others go on")
  }

  /// Two workers have the function; whichever runs the call first is killed, and the other one answers.
  @Sendable static func resent(_ stage: Stage) async throws {
    let first = try await WorkerProcess.start(on: stage, prefix: "pair")
    defer { first.kill() }
    let second = try await WorkerProcess.start(on: stage, prefix: "pair")
    defer { second.kill() }
    Report.step("two workers: \(first.processID) and \(second.processID)")
    try await Gate.open("demo.gate", on: stage, answer: killer(of: [first, second], sparing: 1)) { gate in
      let response = try await stage.call("pair.visit", gate.name, options: .idempotent)
      let (killed, spared) = (try await gate.visitor(), try await gate.visitor())
      try expect(killed.text != spared.text, "the second worker", expected: "another", came: "\(spared.text) again")
      try expect("the answer", response.text, is: "\(spared.text): go on")
    }
    await first.killAndWait()
    await second.killAndWait()
  }

  /// An answer for visitors that are to die: kills the one who comes, as long as more than `sparing` are left.
  private static func killer(
    of workers: [WorkerProcess], sparing: Int = 0
  ) -> @Sendable (HostcallRequest) async throws -> String {
    let left = Remaining(workers.map(\.processID))
    return { request in
      guard let worker = workers.first(where: { "\($0.processID)" == request.text }) else {
        throw Mismatch("the visitor", expected: "one of \(workers.map(\.processID))", came: request.text)
      }
      guard await left.remove(worker.processID, sparing: sparing) else { return "go on" }
      Report.step("killing worker \(worker.processID) while it runs the call")
      await worker.killAndWait()
      return "too late for you"
    }
  }

  private actor Remaining {
    private var processIDs: [Int32]

    init(_ processIDs: [Int32]) {
      self.processIDs = processIDs
    }

    func remove(_ processID: Int32, sparing: Int) -> Bool {
      guard processIDs.count > sparing else { return false }
      processIDs.removeAll { $0 == processID }
      return true
    }
  }
}
