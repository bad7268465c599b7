import HostcallFunctions

/// A name or pattern whose events this client gets, across all its connections, for one consumer or several.
///
/// `@unchecked Sendable` rule: the constant may be read anywhere, the variables only by the actor of the connection.
final class SubscriptionRecord: @unchecked Sendable {
  /// Where a subscription is in its life.
  enum State {
    /// The daemon has not taken it yet, ever: a failure is the user's to hear. To `established`, `ended`.
    case new
    /// The daemon has taken it; it is made again on each new connection. To `ended`.
    case established
    /// Nobody waits for its events any more, or it was refused. The end.
    case ended
  }

  let pattern: String

  var state = State.new
  /// Whether SUBSCRIBE is under way on the present connection.
  var isSubscribing = false
  /// Whether the daemon has taken it on the present connection.
  var isSubscribed = false
  var waiters: [Answer<HostcallError?>] = []

  /// A subscription that the daemon has not heard of.
  init(_ pattern: String) {
    self.pattern = pattern
  }

  /// Tells whoever waits for the first answer; an error is the end of a new one.
  func answer(_ error: HostcallError?) {
    if error != nil, state == .new { state = .ended }
    let waiters = waiters
    self.waiters = []
    for answer in waiters { answer(error) }
  }
}
