import HostcallFunctions
import HostcallWire

/// A call on its way: what was asked for, and what becomes of it.
///
/// `@unchecked Sendable` rule: the constants may be read anywhere, the variables only by the actor of the connection.
final class OutgoingCall: @unchecked Sendable {
  /// Where a call is in its life.
  enum State {
    /// Not handed to the connection yet. To `waiting`, `sent` or `ended`; to `cancelledEarly`.
    case new
    /// It was cancelled before the connection saw it. To `ended`, with this error if there is one.
    case cancelledEarly(because: HostcallError?)
    /// It waits for WELCOME. To `sent`; to `ended`, at its deadline too.
    case waiting
    /// Its frame is written, its RESULT has not come. To `cancelling`, `ended`; also where the daemon is overdue with it.
    case sent(requestID: UInt64)
    /// CANCEL is written, RESULT has not come. To `ended`, with this error if the daemon's is CANCELLED.
    case cancelling(because: HostcallError?)
    /// The caller has its outcome. The end.
    case ended
  }

  let parameters: CallParameters
  let streams: CallerStreams

  var state = State.new
  /// Let go of once it is written.
  var payload: ArraySlice<UInt8>
  /// Items that the consumer can take beside the window; they go with CALL where it is not written yet.
  var grantedEarly: UInt32 = 0
  /// Handed to the socket once it is written.
  var descriptors: HostcallDescriptors
  private var whenEnded: ((CallOutcome) -> Void)?

  /// A call as a user asks for it; descriptors are duplicated, and only the call holds the duplicates.
  ///
  /// Errors: `invalidArgument` where no daemon would take it.
  convenience init(
    _ function: String, _ payload: some HostcallPayload, encoding: PayloadEncoding?, timeout: Duration?,
    options: CallOptions, metadata: Metadata, descriptors: [Int32], wantsReply: Bool = true,
    hasArguments: Bool = false, window: Int? = nil
  ) throws(HostcallError) {
    let descriptors = try HostcallDescriptors(duplicating: descriptors, for: function)
    let parameters = try CallParameters(
      function: function, encoding: encoding ?? payload.payloadEncoding, timeout: timeout, options: options,
      metadata: metadata, wantsReply: wantsReply, descriptors: descriptors, hasArguments: hasArguments,
      window: window)
    self.init(parameters, payload: payload.payloadBytes, descriptors: descriptors)
  }

  /// A call that has not begun.
  init(_ parameters: CallParameters, payload: ArraySlice<UInt8>, descriptors: HostcallDescriptors = .none) {
    self.parameters = parameters
    self.payload = payload
    self.descriptors = descriptors
    streams = CallerStreams(parameters)
  }

  /// Whether its caller has the outcome.
  var hasEnded: Bool {
    if case .ended = state { true } else { false }
  }

  /// The name that is called.
  var function: String { parameters.function }

  /// Takes whom to tell.
  func begin(_ whenEnded: @escaping (CallOutcome) -> Void) {
    self.whenEnded = whenEnded
  }

  /// Tells the caller, once; a second outcome is a mistake of this module.
  func end(_ outcome: CallOutcome) {
    guard let whenEnded else { preconditionFailure("a call to \(function) ended twice, or before it began") }
    self.whenEnded = nil
    state = .ended
    payload = []
    descriptors = .none
    streams.end(outcome, function: function)
    whenEnded(outcome)
  }

  /// Tells the caller what went wrong.
  func fail(_ error: HostcallError) {
    end(.failure(error.function == nil ? error.about(function) : error))
  }
}
