/// The number that the daemon issues for an outgoing call (protocol section 1): never 0, never issued twice in one run.
///
/// The lower 20 bits are the call's place in the table, so that it is found without hashing. The 44 bits above count
/// how often the place was used; a place that has used them up is never used again. The highest bit is never set, so that
/// a peer can choose request ids which are no correlation ids.
package struct CorrelationID: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  package let rawValue: UInt64

  static let slotBits: UInt64 = 20
  /// Places that a table can have.
  static let slots = 1 << Int(slotBits)
  static let largestTurn: UInt64 = 1 << (63 - slotBits) - 1

  package init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  init(slot: Slot, turn: UInt64) {
    rawValue = turn << Self.slotBits | UInt64(slot)
  }

  var slot: Slot { Slot(truncatingIfNeeded: rawValue & (1 << Self.slotBits - 1)) }
  var turn: UInt64 { rawValue >> Self.slotBits }
}
