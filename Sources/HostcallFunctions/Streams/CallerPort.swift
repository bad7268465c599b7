/// The way from whoever makes a call to the connection that it goes by.
///
/// Thread: any.
package protocol CallerPort: CallPort {
  /// The name that is called.
  var function: String { get }
  /// What the caller sends and takes beside payload and result.
  var streams: CallerStreams { get }

  /// Begins the call, once. Its outcome is told once, soon after, on the loop thread.
  func begin(_ whenEnded: @escaping @Sendable (CallOutcome) -> Void)
  /// The caller wants no outcome any more: CANCEL. The call then ends with this error, where there is one, instead of
  /// the daemon's CANCELLED.
  func cancel(_ reason: HostcallError?)
}

extension CallerPort {
  /// Begins the call and waits for its outcome. A cancelled task cancels it.
  package func response() async throws(HostcallError) -> HostcallResponse {
    try await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        begin { continuation.resume(returning: $0) }
      }
    } onCancel: {
      cancel(nil)
    }.get()
  }

  /// The same for a call with arguments; when it has ended, the task that iterates over them is cancelled.
  package func response<Arguments: AsyncSequence & Sendable>(
    sending arguments: Arguments
  ) async throws(HostcallError) -> HostcallResponse where Arguments.Element: HostcallPayload {
    let feed = feed(arguments)
    defer { feed.cancel() }
    return try await response()
  }

  /// Begins the call; its consumer holds it.
  package func stream() -> StreamedCall {
    stream(feed: nil)
  }

  /// The same for a call with arguments; when it has ended, the task that iterates over them is cancelled.
  package func stream<Arguments: AsyncSequence & Sendable>(
    sending arguments: Arguments
  ) -> StreamedCall where Arguments.Element: HostcallPayload {
    stream(feed: feed(arguments))
  }

  private func stream(feed: Task<Void, Never>?) -> StreamedCall {
    guard let items = streams.results else { preconditionFailure("a stream without a window") }
    let outcome = PendingOutcome()
    begin {
      feed?.cancel()
      outcome.come($0)
    }
    return StreamedCall(items: items, outcome: outcome, port: self)
  }

  /// Starts the task that sends the call's arguments.
  private func feed<Arguments: AsyncSequence & Sendable>(_ arguments: Arguments) -> Task<Void, Never>
  where Arguments.Element: HostcallPayload {
    guard let sender = streams.arguments else { preconditionFailure("arguments of a call that has none") }
    return Task { await ArgumentFeed.run(arguments, into: sender, by: self, function: function) }
  }
}
