import Foundation
import HostcallClient
import Synchronization

/// The host functions of this worker.
struct DemoFunctions: Sendable {
  let client: HostcallClient
  let prefix: String

  /// Registers them all; when it returns, each of them can be called.
  func register() async throws(HostcallError) {
    let cancels = Counter()
    try await registerAnswers()
    try await registerCallsBack()
    try await registerParking(cancels)
    try await registerManualCompletions()
    try await registerStreams(cancels)
    try await registerEvents()
    try await registerHashing()

    // Last, for those who wait until everything before is there too.
    try await client.register("\(prefix)ready") { _ in "\(getpid())" }
    try await client.register("worker.\(getpid())") { _ in "\(getpid())" }
  }

  // MARK: Plain answers and errors

  private func registerAnswers() async throws(HostcallError) {
    try await client.register("\(prefix)echo") { request in
      HostcallReply(request.payload, encoding: request.encoding, metadata: request.metadata)
    }
    // An error with a status of the application's own, and whatever bytes say more about it.
    try await client.register("\(prefix)fail") { request -> HostcallReply in
      throw HostcallFailure(
        status: Status(rawValue: 200), payload: request.payload, encoding: request.encoding, metadata: request.metadata)
    }
  }

  // MARK: Calls inside calls

  private func registerCallsBack() async throws(HostcallError) {
    // The inner call goes to whoever has registered `token.fetch`: here, the program that called `use-token`. It
    // inherits what is left of the outer call's deadline, and its trace.
    try await client.register("\(prefix)use-token") { [client] request in
      let token = try await client.call("token.fetch", request.payload)
      return "token[\(token.text)]"
    }
    // Calls the function that the payload names and tells it this process's number.
    let visit: @Sendable (HostcallRequest) async throws -> String = { [client] request in
      let answer = try await client.call(request.text, "\(getpid())")
      return "\(getpid()): \(answer.text)"
    }
    try await client.register("\(prefix)visit", handler: visit)
    // The same, one call at a time: the others wait in the daemon.
    try await client.register("\(prefix)lane", concurrency: 1, handler: visit)
  }

  // MARK: Cancellation

  private func registerParking(_ cancels: Counter) async throws(HostcallError) {
    // Tells the function that the payload names that it runs, and then waits until its call ends in another way.
    // `onCancel` runs before this worker gets any later call, so `cancels` never counts too few.
    try await client.register("\(prefix)park") { [client] request in
      try await withTaskCancellationHandler {
        try await client.call(request.text, "\(getpid())")
        let (never, continuation) = AsyncStream.makeStream(of: Never.self)
        for await _ in never {}
        continuation.finish()
        throw CancellationError()
      } onCancel: {
        cancels.add()
      }
    }
    try await client.register("\(prefix)cancels") { _ in "\(cancels.value)" }
  }

  // MARK: Completions of its own making

  private func registerManualCompletions() async throws(HostcallError) {
    // Calls that are answered together, by a thread each, the last one first.
    let gathering = Gathering()
    try await client.registerManually("\(prefix)gather", onCancel: gathering.remove, handler: gathering.add)

    // Answers only once the call has ended, which is too late.
    try await client.registerManually("\(prefix)late", onCancel: { call, _ in call.complete("too late") }) { _ in }

    // Answers twice.
    try await client.registerManually("\(prefix)twice") { call in
      call.complete("first")
      call.complete("second")
    }
  }

  // MARK: Streams and events

  private func registerStreams(_ cancels: Counter) async throws(HostcallError) {
    let sent = Counter()
    // As many numbers as the payload says, or without end: each one waits until the caller can take it.
    try await client.register("\(prefix)numbers") { request in
      try await withTaskCancellationHandler {
        var number = 0
        while number != Int(request.text) {
          try await request.results.send("\(number)")
          sent.add()
          number += 1
        }
        return "\(number) numbers"
      } onCancel: {
        cancels.add()
      }
    }
    try await client.register("\(prefix)numbers-sent") { _ in "\(sent.value)" }
    // The other way round: the numbers come from the caller, no faster than they are added.
    try await client.register("\(prefix)sum") { request in
      var sum = 0
      for try await item in request.arguments { sum += Int(item.text) ?? 0 }
      return "\(sum)"
    }
  }

  private func registerEvents() async throws(HostcallError) {
    // Publishes so many events under a name of the caller's choice; answers how many subscribers the last one had.
    try await client.register("\(prefix)ring") { [client] request in
      var subscribers = 0
      for number in 0..<(Int(request.text) ?? 0) {
        subscribers = try await client.publish(request.metadata["event"] ?? "demo.rang", "\(number)")
      }
      return "\(subscribers)"
    }
  }

  // MARK: Real work

  private func registerHashing() async throws(HostcallError) {
    try await client.register("\(prefix)sha256", idempotent: true) { request in
      var hash = SHA256()
      hash.update(request.payload.span)
      return HostcallReply(hash.finish(), metadata: ["worker": "\(getpid())"])
    }
    // For files that are too large to travel: the payload is the path.
    try await client.register("\(prefix)sha256-file", idempotent: true) { request in
      HostcallReply(try SHA256.ofFile(path: request.payload), metadata: ["worker": "\(getpid())"])
    }
    // For files that this worker could not open itself: they come open.
    try await client.register("\(prefix)sha256-open", idempotent: true) { request in
      guard let descriptor = request.descriptors.take() else {
        throw HostcallFailure(payload: "no open file came along")
      }
      defer { close(descriptor) }
      return HostcallReply(try SHA256.ofFile(descriptor), metadata: ["worker": "\(getpid())"])
    }
  }
}

/// A number that any thread may count up.
final class Counter: Sendable {
  private let count = Atomic(0)

  var value: Int { count.load(ordering: .acquiring) }

  func add() {
    count.add(1, ordering: .acquiringAndReleasing)
  }
}
