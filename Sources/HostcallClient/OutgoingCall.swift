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
    /// Its frame is written, its RESULT has not come. To `cancelling`, `ended`.
    case sent(requestID: UInt64)
    /// CANCEL is written, RESULT has not come. To `ended`, with this error if the daemon's is CANCELLED.
    case cancelling(because: HostcallError?)
    /// The caller has its outcome. The end.
    case ended
  }

  let parameters: CallParameters
  /// The result items, where the caller takes any.
  let items: ItemReceiver?
  /// The argument items, where the caller sends any.
  let arguments: ItemSender?

  var state = State.new
  /// Let go of once it is written.
  var payload: ArraySlice<UInt8>
  private var whenEnded: ((Outcome) -> Void)?

  /// A call that has not begun.
  init(_ parameters: CallParameters, payload: ArraySlice<UInt8>) {
    self.parameters = parameters
    self.payload = payload
    items = parameters.window > 0 ? ItemReceiver(window: parameters.window, credit: parameters.window) : nil
    arguments = parameters.flags.has(.open) ? ItemSender(credit: 0) : nil
  }

  /// The name that is called.
  var function: String { parameters.function }

  /// Takes whom to tell.
  func begin(_ whenEnded: @escaping (Outcome) -> Void) {
    self.whenEnded = whenEnded
  }

  /// Tells the caller, once; a second outcome is a mistake of this module.
  func end(_ outcome: Outcome) {
    guard let whenEnded else { preconditionFailure("a call to \(function) ended twice, or before it began") }
    self.whenEnded = nil
    state = .ended
    payload = []
    endStreams(outcome)
    whenEnded(outcome)
  }

  private func endStreams(_ outcome: Outcome) {
    let error: HostcallError? = if case .failure(let error) = outcome { error } else { nil }
    items?.end(error)
    arguments?.end(error ?? HostcallError(.status(.late), function: function, message: "the call has ended"))
  }

  /// Tells the caller what went wrong.
  func fail(_ error: HostcallError) {
    end(.failure(error.function == nil ? error.about(function) : error))
  }
}
