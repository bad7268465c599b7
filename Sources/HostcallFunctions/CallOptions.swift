/// How a call is to be treated (protocol section 5).
public struct CallOptions: OptionSet, Sendable {
  /// The options as bits; they are not the bits on the wire.
  public let rawValue: UInt8

  /// Options from bits.
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// Where nobody has registered the name, wait for somebody until the deadline, instead of ending with NOT_FOUND.
  public static let wait = CallOptions(rawValue: 1)
  /// The call may run more than once: if its worker is lost, it is sent to another one.
  public static let idempotent = CallOptions(rawValue: 2)
}
