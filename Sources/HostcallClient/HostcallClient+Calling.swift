public import HostcallFunctions
public import HostcallWire

extension HostcallClient {
  /// Calls a host function and waits for its outcome (protocol section 4, *Calling*).
  ///
  /// Inside a handler the call inherits what is left of the handler's deadline, and its trace context
  /// (``HostcallContext``). When the task is cancelled the call is cancelled, also in the worker.
  ///
  /// - Parameters:
  ///   - function: the name, such as `token.fetch`.
  ///   - payload: the argument: `[UInt8]`, `String`, or another ``HostcallPayload``.
  ///   - encoding: what the payload's bytes are, if not what its type says.
  ///   - timeout: how long it may take in all, rounded up to milliseconds; nil for the daemon's default (30 seconds).
  ///   - options: `.wait` for a worker to come, `.idempotent`.
  ///   - metadata: goes to the worker. Keys that begin with `hostcall-` are refused.
  ///   - descriptors: open files that the worker gets too, at most 16. They are duplicated before this returns or waits,
  ///     and stay the caller's.
  /// - Throws: ``HostcallError`` with the status and who chose it; `connectionLost` at once if the connection ends.
  @discardableResult
  public func call(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:], descriptors: [Int32] = []
  ) async throws(HostcallError) -> HostcallResponse {
    try await port(
      OutgoingCall(
        function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: descriptors)
    ).response()
  }

  /// Calls a host function and wants no answer, whatever happens (protocol section 5, NO_REPLY).
  ///
  /// Returns when the call is on its way to the daemon. Parameters are those of `call`.
  /// - Throws: ``HostcallError`` where it could not be sent.
  public func send(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:], descriptors: [Int32] = []
  ) async throws(HostcallError) {
    _ = try await port(
      OutgoingCall(
        function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: descriptors, wantsReply: false)
    ).response()
  }

  /// The way of a call that has not begun.
  func port(_ call: OutgoingCall) -> OutgoingCallPort {
    OutgoingCallPort(call: call, connection: connection)
  }
}
