/// A frame that no peer may send (protocol section 3, *A protocol error*).
///
/// The daemon answers it by GOAWAY with status PROTOCOL and ``reason`` as payload, then closes that connection.
package struct ProtocolViolation: Error, Equatable, Sendable, CustomStringConvertible {
  /// A sentence for people that says which frame broke which rule.
  package let reason: String

  package init(_ reason: String) {
    self.reason = reason
  }

  package var description: String { reason }
}
