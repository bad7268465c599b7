/// A place in a table; most tables of the bridge are arrays whose places are used again.
public typealias Slot = UInt32

extension Slot {
  /// No place.
  @inlinable
  public static var none: Slot { .max }
}

/// One peer for as long as it is there. The place is used again, the generation with it never.
public struct PeerID: Hashable, Sendable, BitwiseCopyable {
  public let slot: Slot
  public let generation: UInt32

  /// Nobody.
  @inlinable public static var nobody: PeerID { PeerID(slot: .none, generation: 0) }

  @inlinable package init(slot: Slot, generation: UInt32) {
    self.slot = slot
    self.generation = generation
  }
}

/// Who a peer is, from the kernel (SO_PEERCRED, SO_PEERGROUPS), never from the peer.
package struct PeerIdentity: Sendable, Equatable {
  package let userID: UInt32
  package let groupID: UInt32
  /// The supplementary groups.
  package let groupIDs: [UInt32]
  package let processID: Int32

  package init(userID: UInt32, groupID: UInt32, groupIDs: [UInt32] = [], processID: Int32) {
    self.userID = userID
    self.groupID = groupID
    self.groupIDs = groupIDs
    self.processID = processID
  }
}
