public import HostcallFunctions
public import HostcallWire

extension HostcallClient {
  /// Registers a host function (protocol section 4, *Registering*).
  ///
  /// Each call runs the handler as a task of its own, off the loop. The task is cancelled when the call ends by
  /// deadline, by its caller or with it, or with the connection. What the handler returns is the result; what it throws
  /// is FAILED with the error's description, or what a ``HostcallFailure`` says. The registration comes back by itself
  /// after a reconnect.
  ///
  /// - Parameters:
  ///   - name: a name, or a pattern such as `files.*`.
  ///   - concurrency: how many calls run at once, 0 for the daemon's default (64).
  ///   - mode: how it joins others of that name.
  ///   - timeout: the longest that a call may run; nil for the daemon's maximum.
  ///   - idempotent: whether a call may be sent to another worker if this one is lost.
  ///   - callerIdentity: whether requests say who called.
  ///   - handler: answers a call with `[UInt8]`, `String`, or another ``HostcallReplyConvertible``.
  /// - Throws: ``HostcallError``: ALREADY_REGISTERED, DENIED, OVERLOADED, INVALID_ARGUMENT, `connectionLost`.
  @discardableResult
  public func register<Reply: HostcallReplyConvertible>(
    _ name: String, concurrency: Int = 0, mode: RegistrationMode = .shared, timeout: Duration? = nil,
    idempotent: Bool = false, callerIdentity: Bool = false,
    handler: @escaping @Sendable (HostcallRequest) async throws -> Reply
  ) async throws(HostcallError) -> HostcallRegistration {
    try await register(
      RegistrationParameters(
        name: name, concurrency: concurrency, mode: mode, timeout: timeout, idempotent: idempotent,
        callerIdentity: callerIdentity), .task { try await handler($0).hostcallReply })
  }

  /// Registers a host function whose result is always empty; parameters are those of the other `register`.
  @_disfavoredOverload
  @discardableResult
  public func register(
    _ name: String, concurrency: Int = 0, mode: RegistrationMode = .shared, timeout: Duration? = nil,
    idempotent: Bool = false, callerIdentity: Bool = false,
    handler: @escaping @Sendable (HostcallRequest) async throws -> Void
  ) async throws(HostcallError) -> HostcallRegistration {
    try await register(
      name, concurrency: concurrency, mode: mode, timeout: timeout, idempotent: idempotent,
      callerIdentity: callerIdentity
    ) { request in
      try await handler(request)
      return HostcallReply()
    }
  }

  /// Registers a host function that completes its calls itself: later, elsewhere, in another order.
  ///
  /// For programs that have threads or queues of their own. Parameters are those of the other `register`, but for
  /// these; both closures are called on the loop thread, in the order of the calls, and must return at once:
  /// - Parameters:
  ///   - onCancel: told that a call has ended already, and why: WORKER_LOST where the connection is gone, else it must be
  ///     completed nevertheless.
  ///   - handler: given each call. Every invocation has to be completed once, from any thread.
  @discardableResult
  public func registerManually(
    _ name: String, concurrency: Int = 0, mode: RegistrationMode = .shared, timeout: Duration? = nil,
    idempotent: Bool = false, callerIdentity: Bool = false,
    onCancel: @escaping @Sendable (HostcallInvocation, Status) -> Void = { _, _ in },
    handler: @escaping @Sendable (HostcallInvocation) -> Void
  ) async throws(HostcallError) -> HostcallRegistration {
    try await register(
      RegistrationParameters(
        name: name, concurrency: concurrency, mode: mode, timeout: timeout, idempotent: idempotent,
        callerIdentity: callerIdentity), .manual(handler, onCancel: onCancel))
  }

  private func register(
    _ parameters: RegistrationParameters, _ handler: RegistrationRecord.Handler
  ) async throws(HostcallError) -> HostcallRegistration {
    let record = RegistrationRecord(parameters, handler)
    let connection = connection
    let error = await withCheckedContinuation { continuation in
      connection.enter { $0.register(record) { continuation.resume(returning: $0) } }
    }
    if let error { throw error }
    return HostcallRegistration(record: record, connection: connection)
  }
}

/// A host function that this client has registered.
///
/// Letting go of it changes nothing: the registration lasts until it is unregistered or its client closes.
public struct HostcallRegistration: Sendable {
  let record: RegistrationRecord
  let connection: ClientConnection

  /// The name or pattern.
  public var name: String { record.name }

  /// Ends the registration (protocol section 4, UNREGISTER).
  ///
  /// When it returns no new call of it comes; those that run go on. Doing it twice, or without a connection, is fine.
  public func unregister() async throws(HostcallError) {
    let error = await withCheckedContinuation { continuation in
      connection.enter { $0.unregister(record) { continuation.resume(returning: $0) } }
    }
    if let error { throw error }
  }
}
