import HostcallClient
import HostcallLoop
import HostcallTestSupport
import HostcallWire

/// The calling program: makes calls through the client library and checks that each ends once, with what is its own.
package struct ProgramCaller: Sendable {
  private static let tasks = 8

  private let configuration: HostcallClient.Configuration
  private let number: UInt64

  /// - Parameter number: tells this program's calls from those of others.
  package init(socketPath: String, number: UInt64) {
    configuration = HostcallClient.Configuration(socketPath: socketPath, clientName: "soak-call")
    self.number = number
  }

  /// Makes so many calls; throws what was wrong with one.
  package func run(calls: Int) async throws {
    try await run(HeapCondition(CallAccount())) { made, _ in made < calls / Self.tasks }
  }

  /// Makes calls as long as they are wanted, asked by each task with how many it has made, and with all of them.
  func run(
    _ account: HeapCondition<CallAccount>, while isWanted: @escaping @Sendable (Int, CallAccount) -> Bool
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<Self.tasks {
        group.addTask { try await makeCalls(task, account, isWanted) }
      }
      try await group.waitForAll()
    }
  }

  /// Each task has a client of its own, which it replaces when its connection is lost.
  private func makeCalls(
    _ task: Int, _ account: HeapCondition<CallAccount>, _ isWanted: @Sendable (Int, CallAccount) -> Bool
  ) async throws {
    var random = SeededGenerator(seed: number &* 1_000 &+ UInt64(task))
    var client: HostcallClient?
    var place = 0
    while isWanted(place, account.current) {
      let identity = number << 40 | UInt64(task) << 32 | UInt64(place)
      place += 1
      let connected = try await connected(client)
      client = connected
      account.change { account in
        account.begun += 1
        return false
      }
      let outcome = try await call(connected, identity, &random)
      account.change { account in
        account[keyPath: outcome] += 1
        return true
      }
      if outcome == \.lost {
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

  /// Makes one call and checks what comes of it; gives what it counts as.
  private func call(
    _ client: HostcallClient, _ identity: UInt64, _ random: inout SeededGenerator
  ) async throws -> any WritableKeyPath<CallAccount, Int> & Sendable {
    let plan = random.pick([SoakPlan.answer, .answer, .answer, .hold, .fail, .deaf])
    let payload = SoakPayload(identity: identity, number: UInt64(plan.rawValue)).encoded(
      .request, byteCount: random.below(random.pick([50, 1_000, 100_000])))
    let response: HostcallResponse
    do throws(HostcallError) {
      response = try await client.call(
        "client.work", payload, timeout: plan == .deaf ? .milliseconds(30) : .seconds(5), options: .wait)
    } catch {
      if error.code == .connectionLost || error.code == .closed { return \.lost }
      try check(error, identity)
      return error.status == .failed ? \.answered : \.refused
    }
    let answer = response.payload.withUnsafeBytes { SoakPayload(.answer, $0) }
    guard answer?.identity == identity, answer?.number == response.correlationID, plan != .fail, plan != .deaf else {
      throw SoakFailure("call \(identity) (\(plan)) got the answer \(String(describing: answer))")
    }
    return \.answered
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
