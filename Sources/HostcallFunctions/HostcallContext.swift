/// What a call made inside a handler inherits from the call that the handler answers.
///
/// Handlers run with it in ``current``, so that `client.call` inside one asks for no more time than is left, and
/// carries the same trace (`traceparent` and `tracestate` of W3C Trace Context). Whoever completes calls from threads
/// of their own sets it by `HostcallContext.$current.withValue(request.context) { … }`, or starts a trace the same way.
public struct HostcallContext: Sendable, Hashable {
  /// The context of the current task: that of the handler it belongs to, or none.
  @TaskLocal public static var current: HostcallContext?

  /// The call that is being answered, nil outside of one.
  public var correlationID: UInt64?
  /// When it ends by itself.
  public var deadline: ContinuousClock.Instant?
  /// Its `traceparent`.
  public var traceParent: String?
  /// Its `tracestate`.
  public var traceState: String?

  /// A context with what is given.
  public init(
    correlationID: UInt64? = nil, deadline: ContinuousClock.Instant? = nil, traceParent: String? = nil,
    traceState: String? = nil
  ) {
    self.correlationID = correlationID
    self.deadline = deadline
    self.traceParent = traceParent
    self.traceState = traceState
  }
}
