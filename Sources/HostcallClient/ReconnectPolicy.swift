import HostcallFunctions

/// Whether and how a client connects again by itself after its connection was lost.
public struct ReconnectPolicy: Sendable, Hashable {
  /// Whether it does at all.
  let isEnabled: Bool
  /// The first wait.
  let initialDelay: Duration
  /// The longest wait.
  let maximumDelay: Duration

  /// In the background while the client has registrations or subscriptions, after 100 ms, then twice as long each time
  /// up to 5 s, each wait shortened at random by up to a half.
  ///
  /// A client without either connects again with its next call.
  public static let whenRegistered = whenRegistered(initialDelay: .milliseconds(100), maximumDelay: .seconds(5))

  /// As ``whenRegistered-swift.type.property``, with other waits; both are at least 1 ms.
  public static func whenRegistered(initialDelay: Duration, maximumDelay: Duration) -> ReconnectPolicy {
    let initialDelay = max(.milliseconds(1), initialDelay)
    return ReconnectPolicy(
      isEnabled: true, initialDelay: initialDelay, maximumDelay: max(initialDelay, maximumDelay))
  }

  /// Never: the client is closed when its connection is lost.
  public static let never = ReconnectPolicy(isEnabled: false, initialDelay: .zero, maximumDelay: .zero)
}

/// The waits between attempts that follow each other.
struct ReconnectBackoff {
  private let policy: ReconnectPolicy
  private var next: Duration

  init(_ policy: ReconnectPolicy) {
    self.policy = policy
    next = policy.initialDelay
  }

  /// The next wait in milliseconds: between half of the delay (for 0) and the whole (for `UInt64.max`), which then
  /// doubles.
  ///
  /// The randomness is a number, not a generator: ThreadSanitizer crashes on `inout` of an empty type such as
  /// `SystemRandomNumberGenerator` (Swift 6.3.1).
  mutating func nextDelayMilliseconds(randomness: UInt64 = .random(in: .min ... .max)) -> UInt64 {
    let delay = next
    next = min(delay * 2, policy.maximumDelay)
    let longest = UInt64(clamping: TimeoutRules.milliseconds(delay))
    let shortest = max(1, longest / 2)
    return shortest + randomness.multipliedFullWidth(by: longest - shortest + 1).high
  }

  /// Starts over: the last connection was a good one.
  mutating func reset() {
    next = policy.initialDelay
  }
}
