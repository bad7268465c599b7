import HostcallBridge
public import HostcallFunctions
import HostcallLoop

/// The whole of Hostcall inside a program: its loop, its rules, its socket, and the program's own host functions.
///
/// ```swift
/// let server = try HostcallServer(.init(socketPath: "/run/app/hostcall.sock"))
/// try await server.register("app.version") { _ in "1.4" }
/// try await server.run()
/// ```
///
/// What this process registers and calls obeys the same rules, limits and ids as what peers do over the socket. One
/// loop thread serves it; every method may be called from any thread. Handlers run as tasks off the loop.
public final class HostcallServer: Sendable {
  let core: ServerCore
  private let loop: EventLoop

  /// Makes a server and starts its loop thread; it listens once ``start()`` or ``run()`` is called.
  ///
  /// - Throws: ``ServerError`` when a limit makes no sense or no thread can be had.
  public init(_ configuration: Configuration = Configuration()) throws {
    try Self.check(configuration)
    do {
      loop = try EventLoop(threadName: "hostcall")
    } catch {
      throw ServerError(error.description)
    }
    let core = ServerCore(configuration, loop: loop)
    self.core = core
    core.enter { $0.prepare() }
  }

  /// A server that is let go of without ``shutdown()`` ends its calls at once and gives its path back.
  deinit {
    let (core, loop) = (core, loop)
    Task {
      await core.leaveNow()
      await core.waitUntilEnded()
      await loop.stop()
    }
  }

  private static func check(_ configuration: Configuration) throws(ServerError) {
    for (key, limits) in Limits.keys.flatMap({ key in
      ([configuration.limits] + configuration.limitsByUser.values).map { (key, $0) }
    }) {
      let value = limits[keyPath: key.keyPath]
      guard key.range.contains(value) else {
        throw ServerError(
          "cannot start: the limit \(key.name) is \(value) (choose \(key.range.lowerBound) to \(key.range.upperBound))")
      }
    }
    do throws(OnDemandWorkerError) {
      try OnDemandWorker.check(configuration.workers)
    } catch {
      throw ServerError("cannot start: \(error)")
    }
  }

  // MARK: Life

  /// Takes the path and listens; returns when peers can connect, or at once if the server was told to leave before.
  ///
  /// - Throws: ``ServerError`` that says what is in the way and what to do.
  public func start() async throws {
    try await core.listen()
  }

  /// Listens, and returns when ``shutdown()`` or ``shutdownNow()`` has come to its end.
  public func run() async throws {
    try await start()
    await waitUntilEnded()
  }

  /// Returns when the server has ended and its thread is gone.
  public func waitUntilEnded() async {
    await core.waitUntilEnded()
    await loop.stop()
  }

  /// Stops listening, refuses new calls, and gives those that run the configured grace to end (protocol section 4).
  ///
  /// Returns when the server has ended.
  public func shutdown() async {
    await core.leave(grace: core.configuration.shutdownGrace)
    await waitUntilEnded()
  }

  /// Ends all calls with SHUTTING_DOWN at once; also during the grace of ``shutdown()``. Returns when the server has ended.
  public func shutdownNow() async {
    await core.leaveNow()
    await waitUntilEnded()
  }

  /// Takes these signals of the process to mean ``shutdown()``, and each further one ``shutdownNow()``.
  package func leave(on signals: [Int32]) async throws {
    try await core.leave(on: signals)
  }

  /// Calls a function on the loop thread whenever the process receives a signal; several that come close together may be
  /// told once.
  package func onSignal(_ number: Int32, _ handler: @escaping @Sendable () -> Void) async throws {
    try await core.watch([number], handler)
  }

  /// On this signal everything goes to another process, see ``Configuration/handedOver``: packed as one descriptor it is
  /// given to `keep`, which ends this process or says why the other one cannot be had; then the server leaves as by
  /// ``shutdown()``.
  package func handOver(on number: Int32, to keep: @escaping @Sendable (Int32) throws -> Never) async throws {
    let core = core
    try await core.watch([number]) { core.assumeIsolated { $0.handOver(to: keep) } }
  }

  // MARK: Policy

  /// Puts another policy in force, for those who are connected as well; when it returns, it is.
  ///
  /// Calls that were accepted go on. A bound name that may not be called any more is answered with DENIED. A registration
  /// that may not be any more takes no new calls, as if its worker had gone; it takes them again once a later policy
  /// allows it.
  public func setPolicy(_ policy: Policy) async {
    await core.setPolicy(policy)
  }

  // MARK: Calling

  /// Calls a host function, wherever it lives (protocol section 4, *Calling*).
  ///
  /// A cancelled task cancels the call. Inside a handler the call inherits what is left of the handler's deadline, and
  /// its trace.
  ///
  /// - Parameters:
  ///   - timeout: until the outcome must be there; nil for the configured default.
  ///   - descriptors: open files that the worker gets too, at most 16. They are duplicated before this returns or waits,
  ///     and stay the caller's.
  /// - Throws: ``HostcallError``, whose status says why there is no result.
  @discardableResult
  public func call(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:], descriptors: [Int32] = []
  ) async throws(HostcallError) -> HostcallResponse {
    try await port(
      LocalCall(
        function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: descriptors)
    ).response()
  }

  /// Calls a host function and wants no answer, whatever happens (NO_REPLY).
  public func send(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:], descriptors: [Int32] = []
  ) throws(HostcallError) {
    let call = try LocalCall(
      function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
      descriptors: descriptors, wantsReply: false)
    core.enter { $0.begin(call, whenEnded: nil) }
  }

  // MARK: Registering

  /// Registers a host function of this process (protocol section 4, *Registering*); the name may not begin with
  /// `hostcall.`.
  ///
  /// - Parameters:
  ///   - name: a name, or a pattern such as `files.*`.
  ///   - concurrency: how many calls run at once, 0 for the default.
  ///   - mode: how it joins others of that name.
  ///   - timeout: the longest that a call may run; nil for the configured maximum.
  ///   - idempotent: whether a call may be sent to another worker.
  ///   - callerIdentity: whether requests say who called.
  ///   - handler: answers a call; its task is cancelled when the call ends otherwise.
  /// - Throws: ``HostcallError``: ALREADY_REGISTERED, OVERLOADED, INVALID_ARGUMENT, SHUTTING_DOWN.
  @discardableResult
  public func register<Reply: HostcallReplyConvertible>(
    _ name: String, concurrency: Int = 0, mode: RegistrationMode = .shared, timeout: Duration? = nil,
    idempotent: Bool = false, callerIdentity: Bool = false,
    handler: @escaping @Sendable (HostcallRequest) async throws -> Reply
  ) async throws(HostcallError) -> LocalRegistration {
    let parameters = try RegistrationParameters(
      name: name, concurrency: concurrency, mode: mode, timeout: timeout, idempotent: idempotent,
      callerIdentity: callerIdentity)
    let handle = try await core.register(parameters) { try await handler($0).hostcallReply }
    return LocalRegistration(name: name, handle: handle, core: core)
  }
}

/// A host function of this process.
///
/// Letting go of it changes nothing: it lasts until it is unregistered or the server ends.
public struct LocalRegistration: Sendable {
  /// The name or pattern.
  public let name: String
  let handle: UInt32
  let core: ServerCore

  /// Ends the registration: when it returns no new call comes; those that run go on.
  public func unregister() async {
    await core.unregister(handle)
  }
}
