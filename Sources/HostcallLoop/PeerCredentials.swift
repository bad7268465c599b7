import Glibc

/// Who is at the other end of a Unix socket, as the kernel saw it when the connection was made.
package struct PeerCredentials: Hashable, Sendable {
  /// The effective user id.
  package let userID: UInt32
  /// The effective group id.
  package let groupID: UInt32
  /// The process id; it may have ended, and the number be another's, by the time it is looked at.
  package let processID: Int32

  /// Makes credentials from their parts.
  package init(userID: UInt32, groupID: UInt32, processID: Int32) {
    self.userID = userID
    self.groupID = groupID
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
      throw LoopError(attempted: "ask who is at the other end of a socket", code: errno)
    }
    self.init(userID: parts.userID, groupID: parts.groupID, processID: parts.processID)
  }
}
