import HostcallClient
import Synchronization

extension Agent {
  /// Registers a function; its invocations wait for the driver to complete them.
  func register(_ command: Command) throws(Misunderstanding) {
    let client = try client()
    let tag = command.tag
    let name = try command.needed("name")
    let concurrency = try command.number("concurrency") ?? 0
    let timeout = try command.milliseconds("timeout")
    guard let mode = RegistrationMode(rawValue: command.text("mode") ?? "shared") else {
      throw Misunderstanding("no such mode")
    }
    let (idempotent, callerIdentity) = (command.says("idempotent"), command.says("caller"))
    run(tag) { [self] () throws(HostcallError) in
      let registration = try await client.register(
        name, concurrency: concurrency, mode: mode, timeout: timeout, idempotent: idempotent,
        callerIdentity: callerIdentity
      ) { request in
        try await self.begin(request, registration: tag).outcome()
      }
      await keep(registration, tag)
      return .done(tag)
    }
  }

  private func keep(_ registration: HostcallRegistration, _ tag: String) {
    registrations[tag] = registration
  }

  private func begin(_ request: HostcallRequest, registration tag: String) -> Invocation {
    let number = invocationCounts[tag, default: 0] + 1
    invocationCounts[tag] = number
    let invocation = Invocation("\(tag).\(number)", request, inherited: HostcallContext.current)
    invocations[invocation.tag] = invocation
    Report.invoke(tag, call: invocation.tag, request).print()
    return invocation
  }

  /// Lets a handler end, by returning or by throwing.
  func complete(_ command: Command) throws(Misunderstanding) {
    guard let invocation = invocations[command.tag] else { throw Misunderstanding("no invocation \(command.tag)") }
    if command.word == "raise" {
      return invocation.end(.failure(Raised(text: String(decoding: try command.bytes("message"), as: UTF8.self))))
    }
    let (item, metadata, status) = (try command.item(), try command.metadata(), try command.status())
    invocation.end(
      status == .ok
        ? .success(HostcallReply(item, metadata: metadata))
        : .failure(HostcallFailure(status: status, payload: item, metadata: metadata)))
  }

  func unregister(_ command: Command) throws(Misunderstanding) {
    guard let registration = registrations.removeValue(forKey: command.tag) else {
      throw Misunderstanding("no registration \(command.tag)")
    }
    run(command.tag) { () throws(HostcallError) in
      try await registration.unregister()
      return .done(command.tag)
    }
  }
}

/// An error such as a program of its own has.
private struct Raised: Error, CustomStringConvertible {
  let text: String
  var description: String { text }
}

/// A call that runs in this agent until the driver completes it.
final class Invocation: Sendable {
  private enum State {
    /// The handler has not come to its wait yet. To `waiting`, `ended`.
    case new
    /// The handler waits. To `ended`.
    case waiting(CheckedContinuation<Result<HostcallReply, any Error>, Never>)
    /// The driver has said how the handler ends. The end.
    case ended(Result<HostcallReply, any Error>)
  }

  let tag: String
  /// What the library hands down to calls that the handler makes.
  let inherited: HostcallContext?
  private let state = Mutex<State>(.new)
  private let takes: AsyncStream<Int>.Continuation
  private let sends: AsyncStream<HostcallItem>.Continuation

  init(_ tag: String, _ request: HostcallRequest, inherited: HostcallContext?) {
    self.tag = tag
    self.inherited = inherited
    let (takes, sends) = (AsyncStream<Int>.makeStream(), AsyncStream<HostcallItem>.makeStream())
    self.takes = takes.continuation
    self.sends = sends.continuation
    // Tasks of their own: told that the call is over, the handler goes on until it is told to complete.
    Task { await Self.take(tag, request.arguments, asToldBy: takes.stream) }
    Task { await Self.send(tag, sends.stream, to: request.results) }
  }

  func take(_ count: Int) {
    takes.yield(count)
  }

  func send(_ item: HostcallItem) {
    sends.yield(item)
  }

  /// The handler's wait: until the driver says how it ends.
  func outcome() async throws -> HostcallReply {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let ended = state.withLock { state -> Result<HostcallReply, any Error>? in
          if case .ended(let result) = state { return result }
          state = .waiting(continuation)
          return nil
        }
        if let ended { continuation.resume(returning: ended) }
      }
    } onCancel: {
      let isOver = state.withLock { if case .ended = $0 { true } else { false } }
      if !isOver { Report(tag, "cancelled").print() }
    }
    takes.finish()
    sends.finish()
    Report(tag, "completed").print()
    return try result.get()
  }

  /// The driver says how the handler ends.
  func end(_ result: Result<HostcallReply, any Error>) {
    let continuation = state.withLock { state -> CheckedContinuation<Result<HostcallReply, any Error>, Never>? in
      defer { state = .ended(result) }
      if case .waiting(let continuation) = state { return continuation }
      return nil
    }
    continuation?.resume(returning: result)
  }

  private static func take(
    _ tag: String, _ arguments: HostcallArguments, asToldBy takes: AsyncStream<Int>
  ) async {
    var items = arguments.makeAsyncIterator()
    do throws(HostcallError) {
      for await count in takes {
        for _ in 0..<count {
          guard let item = try await items.next(isolation: nil) else {
            return Report(tag, "items-end").print()
          }
          Report.item(tag, item).print()
        }
      }
    } catch {
      Report.error(tag, error).print()
    }
  }

  private static func send(
    _ tag: String, _ items: AsyncStream<HostcallItem>, to results: HostcallResults
  ) async {
    for await item in items {
      do throws(HostcallError) {
        try await results.send(item)
        Report(tag, "sent").print()
      } catch {
        Report.error(tag, error).print()
      }
    }
  }
}
