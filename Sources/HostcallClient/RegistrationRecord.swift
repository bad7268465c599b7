import HostcallFunctions
import HostcallWire

/// A host function of this client, across all its connections.
///
/// `@unchecked Sendable` rule: the constants may be read anywhere, the variables only by the actor of the connection.
final class RegistrationRecord: @unchecked Sendable {
  /// What answers a call.
  enum Handler: Sendable {
    /// Runs as a task off the loop; its outcome completes the call.
    case task(@Sendable (HostcallRequest) async throws -> HostcallReply)
    /// Is told on the loop thread, and completes the call itself, whenever.
    case manual(
      @Sendable (HostcallInvocation) -> Void, onCancel: @Sendable (HostcallInvocation, Status) -> Void)
  }

  /// Where a registration is in its life.
  enum State {
    /// The daemon has not taken it yet, ever: a failure is the user's to hear. To `established`, `ended`.
    case new
    /// The daemon has taken it; it is registered again on each new connection. To `ended`.
    case established
    /// It was unregistered or refused. The end.
    case ended
  }

  let parameters: RegistrationParameters
  let handler: Handler

  var state = State.new
  /// What INVOKE carries on the present connection; nil while the daemon has not answered there.
  var handle: UInt32?
  /// Whether REGISTER is under way on the present connection.
  var isRegistering = false
  /// Whoever waits for the first answer; nil once it was given.
  var firstAnswer: Answer<HostcallError?>?

  /// A registration that the daemon has not heard of.
  init(_ parameters: RegistrationParameters, _ handler: Handler) {
    self.parameters = parameters
    self.handler = handler
  }

  /// The name or pattern.
  var name: String { parameters.name }

  /// Tells whoever waits for the first answer, if anyone does.
  func answer(_ error: HostcallError?) {
    let answer = firstAnswer
    firstAnswer = nil
    answer?(error)
  }
}
