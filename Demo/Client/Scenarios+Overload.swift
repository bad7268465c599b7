import Foundation
import HostcallClient

extension Scenario {
  /// `lane` runs one call at a time. That one is kept waiting until the queue behind it is full and three more calls
  /// have been refused; then everything that was queued has to be answered.
  @Sendable static func overload(_ stage: Stage) async throws {
    let places = try await queueLimit(stage)
    let excess = 3
    let latch = Latch()
    defer { latch.open() }
    let answer: @Sendable (HostcallRequest) async -> String = { _ in
      await latch.wait()
      return "go on"
    }
    try await Gate.open("demo.gate", on: stage, answer: answer) { gate in
      let began = ContinuousClock.now
      let outcomes = manyCalls(stage, count: 1 + places + excess, payload: gate.name)
      var (answered, refused) = (0, 0)
      for await outcome in outcomes {
        switch outcome {
        case .success:
          try expect(refused == excess, "an answer", expected: "none before \(excess) refusals", came: "one")
          answered += 1
        case .failure(let error):
          try expect("the status of a refusal", error.status ?? .ok, is: .overloaded)
          if refused == 0 { Report.step("\(error), after \(Report.time(.now - began))") }
          refused += 1
          if refused == excess {
            Report.step("\(refused) of \(1 + places + excess) calls refused while 1 runs and \(places) wait")
            latch.open()
          }
        }
      }
      try expect("calls refused", refused, is: excess)
      try expect("calls answered", answered, is: 1 + places)
      Report.step("\(answered) calls answered, one after another, in \(Report.time(.now - began))")
    }
  }

  /// The outcomes of as many calls of `lane` at once, as they come.
  private static func manyCalls(
    _ stage: Stage, count: Int, payload: String
  ) -> AsyncStream<Result<HostcallResponse, HostcallError>> {
    AsyncStream { continuation in
      let calls = Task {
        await withDiscardingTaskGroup { group in
          for _ in 0..<count {
            group.addTask {
              do throws(HostcallError) {
                continuation.yield(.success(try await stage.client.call("lane", payload, timeout: .seconds(20))))
              } catch {
                continuation.yield(.failure(error))
              }
            }
          }
        }
        continuation.finish()
      }
      continuation.onTermination = { _ in calls.cancel() }
    }
  }

  /// How many calls may wait for a function, as the daemon tells it.
  private static func queueLimit(_ stage: Stage) async throws -> Int {
    struct Information: Decodable {
      let limits: [String: Int]
    }
    let response = try await stage.call("hostcall.info")
    let information = try JSONDecoder().decode(Information.self, from: Data(response.payload))
    guard let limit = information.limits["queued-calls-per-function"] else {
      throw Mismatch("hostcall.info", expected: "the limit queued-calls-per-function", came: "none")
    }
    return limit
  }
}
