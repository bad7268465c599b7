public import HostcallFunctions
public import HostcallWire

extension HostcallClient {
  /// Calls a host function and takes result items as they come (protocol section 4, *Streams*).
  ///
  /// ```swift
  /// for try await item in client.stream("numbers", "1000000") { print(item.text) }
  /// ```
  /// The call begins at once, and everything that goes wrong with it is thrown by the loop. Other parameters are those
  /// of `call`.
  /// - Parameter window: how many items may be on their way; nil for the configuration's `itemWindow`.
  public func stream(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:], descriptors: [Int32] = [],
    window: Int? = nil
  ) -> HostcallStream {
    HostcallStream { () throws(HostcallError) in
      try port(
        OutgoingCall(
          function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
          descriptors: descriptors, window: window ?? configuration.itemWindow)
      ).stream()
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
    HostcallStream { () throws(HostcallError) in
      try port(
        OutgoingCall(
          function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
          descriptors: descriptors, hasArguments: true, window: window ?? configuration.itemWindow)
      ).stream(sending: arguments)
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
    try await port(
      OutgoingCall(
        function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: descriptors, hasArguments: true)
    ).response(sending: arguments)
  }
}
