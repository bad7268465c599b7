/// A place in a table; most tables of the bridge are arrays whose places are used again.
package typealias Slot = UInt32

extension Slot {
  /// No place.
  package static var none: Slot { .max }
}

/// One peer for as long as it is there. The place is used again, the generation with it never.
package struct PeerID: Hashable, Sendable, BitwiseCopyable {
  package let slot: Slot
  package let generation: UInt32

  /// Nobody.
  package static var nobody: PeerID { PeerID(slot: .none, generation: 0) }

  package init(slot: Slot, generation: UInt32) {
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
