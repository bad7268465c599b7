public import HostcallFunctions
public import HostcallWire

extension HostcallServer {
  /// Calls a host function and takes result items as they come (protocol section 4, *Streams*).
  ///
  /// ```swift
  /// for try await item in server.stream("numbers", "1000000") { print(item.text) }
  /// ```
  /// The call begins at once, and everything that goes wrong with it is thrown by the loop. Other parameters are those
  /// of `call`.
  /// - Parameter window: how many items may be on their way; nil for the configuration's `itemWindow`.
  public func stream(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:], descriptors: [Int32] = [],
    window: Int? = nil
  ) -> HostcallStream {
    begin(feed: nil) { () throws(HostcallError) in
      try LocalCall(
        function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: descriptors, window: window ?? core.configuration.itemWindow)
    }
  }

  /// Calls a host function with argument items, and takes result items as they come.
  ///
  /// Parameters are those of the other `stream` and of `call` with arguments.
  public func stream<Arguments: AsyncSequence & Sendable>(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), arguments: Arguments,
    encoding: PayloadEncoding? = nil, timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:],
    descriptors: [Int32] = [], window: Int? = nil
  ) -> HostcallStream where Arguments.Element: HostcallPayload {
    begin(feed: feed(arguments)) { () throws(HostcallError) in
      try LocalCall(
        function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: descriptors, hasArguments: true, window: window ?? core.configuration.itemWindow)
    }
  }

  /// Calls a host function with argument items that follow its payload, and waits for its outcome.
  ///
  /// The sequence is asked for one element more than the worker can take. If it throws, the call is cancelled and
  /// fails with that error; when the call has ended, the task that iterates over it is cancelled. Other parameters are
  /// those of `call`.
  @discardableResult
  public func call<Arguments: AsyncSequence & Sendable>(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), arguments: Arguments,
    encoding: PayloadEncoding? = nil, timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:],
    descriptors: [Int32] = []
  ) async throws(HostcallError) -> HostcallResponse where Arguments.Element: HostcallPayload {
    try await run(
      LocalCall(
        function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: descriptors, hasArguments: true), feed: feed(arguments))
  }

  /// Begins a call, with the task that sends its arguments if it has any, and waits for its outcome.
  func run(_ call: LocalCall, feed: Feed? = nil) async throws(HostcallError) -> HostcallResponse {
    let core = core
    let task = call.arguments.flatMap { sender in feed?(call, sender) }
    defer { task?.cancel() }
    return try await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        core.enter { $0.begin(call) { continuation.resume(returning: $0) } }
      }
    } onCancel: {
      core.enter { $0.cancel(call) }
    }.get()
  }

  /// Starts the task that sends a call's arguments.
  typealias Feed = @Sendable (LocalCall, ItemSender) -> Task<Void, Never>

  private func feed<Arguments: AsyncSequence & Sendable>(_ arguments: Arguments) -> Feed
  where Arguments.Element: HostcallPayload {
    let core = core
    return { call, sender in
      Task {
        await ArgumentFeed.run(
          arguments, into: sender, by: LocalCallPort(call: call, core: core), function: call.parameters.function)
      }
    }
  }

  /// Begins a call whose consumer holds it; where it cannot be made, its stream fails.
  private func begin(feed: Feed?, _ make: () throws(HostcallError) -> LocalCall) -> HostcallStream {
    let call: LocalCall
    do throws(HostcallError) {
      call = try make()
    } catch {
      return HostcallStream(failed: error)
    }
    guard let items = call.items else { preconditionFailure("a stream without a window") }
    let outcome = PendingOutcome()
    let task = call.arguments.flatMap { sender in feed?(call, sender) }
    core.enter {
      $0.begin(call) {
        task?.cancel()
        outcome.come($0)
      }
    }
    return HostcallStream(
      StreamedCall(items: items, outcome: outcome, port: LocalCallPort(call: call, core: core)))
  }
}
