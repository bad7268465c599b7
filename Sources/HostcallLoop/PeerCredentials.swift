import Glibc

/// Who is at the other end of a Unix socket, as the kernel saw it when the connection was made.
package struct PeerCredentials: Hashable, Sendable {
  /// The effective user id.
  package let userID: UInt32
  /// The effective group id.
  package let groupID: UInt32
  /// The supplementary group ids.
  package let groupIDs: [UInt32]
  /// The process id; it may have ended, and the number be another's, by the time it is looked at.
  package let processID: Int32

  /// Makes credentials from their parts.
  package init(userID: UInt32, groupID: UInt32, groupIDs: [UInt32] = [], processID: Int32) {
    self.userID = userID
    self.groupID = groupID
    self.groupIDs = groupIDs
    self.processID = processID
  }

  /// Asks the kernel for the credentials of the peer of a connected Unix socket.
  ///
  /// Thread: any.
  package init(ofPeerOf descriptor: Int32) throws(LoopError) {
    // `struct ucred` is hidden from Swift; it is three 32-bit numbers in this order.
    var parts: (processID: Int32, userID: UInt32, groupID: UInt32) = (0, 0, 0)
    var length = socklen_t(MemoryLayout.size(ofValue: parts))
    guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &parts, &length) == 0 else {
      throw LoopError(attempted: Self.attempted, code: errno)
    }
    self.init(
      userID: parts.userID, groupID: parts.groupID, groupIDs: try Self.groupIDs(ofPeerOf: descriptor),
      processID: parts.processID)
  }

  private static let attempted = "ask who is at the other end of a socket"

  /// None where the kernel is too old to tell (before 4.13): that takes rights away and gives none.
  private static func groupIDs(ofPeerOf descriptor: Int32) throws(LoopError) -> [UInt32] {
    var groupIDs = [UInt32](repeating: 0, count: 32)
    while true {
      var byteCount = socklen_t(groupIDs.count * MemoryLayout<UInt32>.stride)
      if getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, &groupIDs, &byteCount) == 0 {
        return Array(groupIDs.prefix(Int(byteCount) / MemoryLayout<UInt32>.stride))
      }
      switch errno {
      case ENOPROTOOPT: return []
      // The kernel has said how much room it needs; a process has at most 65,536 groups.
      case ERANGE where Int(byteCount) > groupIDs.count * MemoryLayout<UInt32>.stride:
        groupIDs = Array(repeating: 0, count: Int(byteCount) / MemoryLayout<UInt32>.stride)
      case let code: throw LoopError(attempted: attempted, code: code)
      }
    }
  }
}
