import HostcallClient
import HostcallWire

/// The serving program: answers calls of the calling programs through the client library, until it is killed.
package enum ProgramWorker {
  package static func run(socketPath: String) async throws {
    while true {
      let client = try await HostcallClient.connect(
        HostcallClient.Configuration(
          socketPath: socketPath, clientName: "soak-serve",
          reconnect: .whenRegistered(initialDelay: .milliseconds(5), maximumDelay: .milliseconds(200))))
      try await client.register("client.work", concurrency: 16) { try await answer($0) }
      _ = await client.waitUntilClosed()
    }
  }

  private static func answer(_ request: HostcallRequest) async throws -> HostcallReply {
    guard let payload = request.payload.withUnsafeBytes({ SoakPayload(.request, $0) }),
      let plan = SoakPlan(rawValue: UInt8(truncatingIfNeeded: payload.number))
    else { throw HostcallFailure(status: .serialization, payload: "a payload that nobody sent") }
    let answer = SoakPayload(identity: payload.identity, number: request.correlationID).encoded(
      .answer, byteCount: request.payload.count)
    switch plan {
    case .fail: throw HostcallFailure(payload: answer)
    case .deaf: try await Task.sleep(for: .seconds(600))
    case .hold: try await Task.sleep(for: .milliseconds(Int(payload.identity % 5)))
    default: break
    }
    return HostcallReply(answer)
  }
}
