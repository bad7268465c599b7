import HostcallClient
import HostcallTestSupport
import HostcallWire

/// The calling program: makes calls through the client library and checks that each ends once, with what is its own.
package struct ProgramCaller: Sendable {
  private static let tasks = 8

  private let configuration: HostcallClient.Configuration
  private let calls: Int
  private let number: UInt64

  /// - Parameter number: tells this program's calls from those of others.
  package init(socketPath: String, calls: Int, number: UInt64) {
    configuration = HostcallClient.Configuration(socketPath: socketPath, clientName: "soak-call")
    self.calls = calls
    self.number = number
  }

  /// Makes the calls; throws what was wrong with one.
  package func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<Self.tasks {
        group.addTask { try await makeCalls(task) }
      }
      try await group.waitForAll()
    }
  }

  /// Each task has a client of its own, which it replaces when its connection is lost.
  private func makeCalls(_ task: Int) async throws {
    var random = SeededGenerator(seed: number &* 1_000 &+ UInt64(task))
    var client: HostcallClient?
    for place in 0..<(calls / Self.tasks) {
      let identity = number << 40 | UInt64(task) << 32 | UInt64(place)
      let connected = try await connected(client)
      client = connected
      if try await !call(connected, identity, &random) {
        await connected.close()
        client = nil
      }
    }
    await client?.shutdown()
  }

  /// The daemon's system calls fail: it may take a few attempts.
  private func connected(_ client: HostcallClient?) async throws -> HostcallClient {
    if let client { return client }
    var attempts = 0
    while true {
      do {
        return try await HostcallClient.connect(configuration)
      } catch {
        attempts += 1
        guard attempts < 100 else { throw error }
      }
    }
  }

  /// Makes one call and checks what comes of it; false where the connection was lost.
  private func call(
    _ client: HostcallClient, _ identity: UInt64, _ random: inout SeededGenerator
  ) async throws -> Bool {
    let plan = random.pick([SoakPlan.answer, .answer, .answer, .hold, .fail, .deaf])
    let payload = SoakPayload(identity: identity, number: UInt64(plan.rawValue)).encoded(
      .request, byteCount: random.below(random.pick([50, 1_000, 100_000])))
    let response: HostcallResponse
    do throws(HostcallError) {
      response = try await client.call(
        "client.work", payload, timeout: plan == .deaf ? .milliseconds(30) : .seconds(5), options: .wait)
    } catch {
      if error.code == .connectionLost || error.code == .closed { return false }
      try check(error, identity)
      return true
    }
    let answer = response.payload.withUnsafeBytes { SoakPayload(.answer, $0) }
    guard answer?.identity == identity, answer?.number == response.correlationID, plan != .fail, plan != .deaf else {
      throw SoakFailure("call \(identity) (\(plan)) got the answer \(String(describing: answer))")
    }
    return true
  }

  /// An outcome without a result has a reason that can be.
  private func check(_ error: HostcallError, _ identity: UInt64) throws {
    switch error.status {
    case .failed?:
      let answer = error.payload.withUnsafeBytes { SoakPayload(.answer, $0) }
      if answer?.identity != identity || answer?.number != error.correlationID { throw error }
    case .timeout?, .workerLost?, .overloaded?: return
    default: throw error
    }
  }
}
