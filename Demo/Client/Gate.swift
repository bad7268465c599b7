import HostcallClient

/// A host function of this program that workers call while they answer: so a scenario knows that they run, and decides
/// when they go on. This is how the demo waits for things without sleeping.
struct Gate: Sendable {
  let name: String
  private let visits: AsyncStream<HostcallRequest>

  /// Opens a gate for as long as the body runs. The answer is what a visitor gets, and may keep him waiting.
  static func open<Result: Sendable>(
    _ name: String, on stage: Stage,
    answer: @escaping @Sendable (HostcallRequest) async throws -> String = { _ in "go on" },
    body: (Gate) async throws -> Result
  ) async throws -> Result {
    let (visits, continuation) = AsyncStream.makeStream(of: HostcallRequest.self)
    let registration = try await stage.client.register(name, mode: .exclusive) { request in
      continuation.yield(request)
      return try await answer(request)
    }
    let outcome: Swift.Result<Result, any Error>
    do {
      outcome = .success(try await body(Gate(name: name, visits: visits)))
    } catch {
      outcome = .failure(error)
    }
    try await registration.unregister()
    return try outcome.get()
  }

  /// Waits for the next visitor.
  func visitor(within limit: Duration = .seconds(20)) async throws -> HostcallRequest {
    try await withThrowingTaskGroup(of: HostcallRequest?.self) { group in
      group.addTask { await visits.first { _ in true } }
      group.addTask {
        try await Task.sleep(for: limit)
        return nil
      }
      defer { group.cancelAll() }
      guard let request = try await group.next() ?? nil else {
        throw Mismatch(name, expected: "a call of it within \(limit)", came: "none")
      }
      return request
    }
  }
}

/// A door that is closed until somebody opens it, once.
struct Latch: Sendable {
  private let stream: AsyncStream<Never>
  private let continuation: AsyncStream<Never>.Continuation

  init() {
    (stream, continuation) = AsyncStream.makeStream(of: Never.self)
  }

  func open() {
    continuation.finish()
  }

  /// Returns when it is open, or the task is cancelled.
  func wait() async {
    for await _ in stream {}
  }
}
