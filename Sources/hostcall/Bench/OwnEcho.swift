import HostcallClient
import HostcallWire

/// The function that `bench` serves where it is given none: it answers with what it was called with.
///
/// It has a connection of its own, so that each call goes from one connection through the daemon to another, as between
/// two programs. It completes calls on the client library's loop thread, without a task for each.
struct OwnEcho: Sendable {
  /// As many calls at once as the protocol can say, so that none waits for a place.
  static let concurrency = 65_535

  let client: HostcallClient
  let name: String

  /// Registers it under a name that nobody else has.
  ///
  /// Errors: the daemon refuses it, or the connection was lost.
  init(by client: HostcallClient) async throws(HostcallError) {
    self.client = client
    name = "bench.echo-\(String(UInt64.random(in: .min ... .max), radix: 36))"
    try await client.registerManually(name, concurrency: Self.concurrency, mode: .exclusive) { invocation in
      invocation.complete(invocation.request.payload)
    }
  }
}
