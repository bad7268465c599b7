import HostcallClient

extension Agent {
  /// Subscribes; events are reported as they come, or left in the library until they are to be taken.
  func subscribe(_ command: Command) throws(Misunderstanding) {
    subscriptions[command.tag] = Subscription(
      command.tag, to: try command.needed("name"), isHeld: command.says("held"), by: try client())
  }

  func unsubscribe(_ command: Command) throws(Misunderstanding) {
    guard let subscription = subscriptions.removeValue(forKey: command.tag) else {
      throw Misunderstanding("no subscription \(command.tag)")
    }
    Task {
      await subscription.end()
      Report.done(command.tag).print()
    }
  }

  func publish(_ command: Command) throws(Misunderstanding) {
    let client = try client()
    let tag = command.tag
    let (name, item, metadata) = (try command.needed("name"), try command.item(), try command.metadata())
    let wantsAnswer = !command.says("no-reply")
    run(tag) { () throws(HostcallError) in
      guard wantsAnswer else {
        try await client.publishAndForget(name, item, metadata: metadata)
        return .done(tag)
      }
      return .done(tag).with("subscribers", "\(try await client.publish(name, item, metadata: metadata))")
    }
  }
}

/// A consumer of events.
struct Subscription: Sendable {
  private let task: Task<Void, Never>
  private let takes: AsyncStream<Int>.Continuation

  init(_ tag: String, to pattern: String, isHeld: Bool, by client: HostcallClient) {
    let (stream, continuation) = AsyncStream<Int>.makeStream()
    takes = continuation
    if !isHeld { continuation.yield(.max) }
    task = Task {
      do throws(HostcallError) {
        // Held by the iterator alone, so that it ends with the task.
        var events = try await client.events(pattern).makeAsyncIterator()
        Report.done(tag).print()
        for await count in stream {
          for _ in 0..<count {
            guard let event = try await events.next(isolation: nil) else { return }
            Report.event(tag, event).print()
          }
        }
      } catch {
        Report.error(tag, error).print()
      }
    }
  }

  func take(_ count: Int) {
    takes.yield(count)
  }

  /// Ends the subscription; when it returns, the client has been told.
  func end() async {
    task.cancel()
    await task.value
  }
}
