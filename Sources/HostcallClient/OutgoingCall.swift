import HostcallFunctions

/// A call on its way: what was asked for, and what becomes of it.
///
/// `@unchecked Sendable` rule: the constants may be read anywhere, the variables only by the actor of the connection.
final class OutgoingCall: @unchecked Sendable {
  typealias Outcome = Result<HostcallResponse, HostcallError>

  /// Where a call is in its life.
  enum State {
    /// Not handed to the connection yet. To `waiting`, `sent` or `ended`; to `cancelledEarly`.
    case new
    /// Its task was cancelled before the connection saw it. To `ended`.
    case cancelledEarly
    /// It waits for WELCOME. To `sent` or `ended`.
    case waiting
    /// Its frame is written, its RESULT has not come. To `ended`.
    case sent(requestID: UInt64)
    /// The caller has its outcome. The end.
    case ended
  }

  let parameters: CallParameters

  var state = State.new
  /// Let go of once it is written.
  var payload: ArraySlice<UInt8>
  private var continuation: CheckedContinuation<Outcome, Never>?

  /// A call that has not begun.
  init(_ parameters: CallParameters, payload: ArraySlice<UInt8>) {
    self.parameters = parameters
    self.payload = payload
  }

  /// The name that is called.
  var function: String { parameters.function }

  /// Takes whom to tell.
  func begin(_ continuation: CheckedContinuation<Outcome, Never>) {
    self.continuation = continuation
  }

  /// Tells the caller, once; a second outcome is a mistake of this module.
  func end(_ outcome: Outcome) {
    guard let continuation else { preconditionFailure("a call to \(function) ended twice, or before it began") }
    self.continuation = nil
    state = .ended
    payload = []
    continuation.resume(returning: outcome)
  }

  /// Tells the caller what went wrong.
  func fail(_ error: HostcallError) {
    end(.failure(error.function == nil ? error.about(function) : error))
  }
}
