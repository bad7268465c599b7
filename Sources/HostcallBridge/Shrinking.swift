/// Tables whose places are used again grow in a burst and stay large: what is unused at their end can go.
extension Array {
  /// Records that a table may have without anybody looking at how many of them are used.
  private static var roomyCount: Int { 256 }

  /// Drops unused records from the end, and their places from `free`, where that makes the table half as large or
  /// smaller. Whether it did.
  @discardableResult
  mutating func dropUnusedEnd(_ free: inout [Slot], where isUnused: (Element) -> Bool) -> Bool {
    var end = count
    while end > 0, isUnused(self[end - 1]) { end -= 1 }
    guard count > Self.roomyCount, end <= count / 2 else { return false }
    self = Self(self[..<end])
    free = free.filter { $0 < Slot(end) }
    return true
  }
}

extension Bridge {
  /// Names that a peer has registered, bound or subscribed to.
  package func nameCount(of peer: PeerID) -> Int {
    guard peers.has(peer) else { return 0 }
    let record = peers[peer.slot]
    return record.registrations.count + record.bound.count + record.subscriptions.count
  }

  /// Bytes of calls' bodies that have been let go, ever.
  package var freedBytes: Int { calls.freedBytes }

  /// Gives memory back that is held for peers, names and registrations that have gone. It looks at all free places, so it
  /// is for a quiet moment.
  package mutating func shrink() {
    peers.shrink()
    functions.shrink()
    registrations.shrink()
  }
}
