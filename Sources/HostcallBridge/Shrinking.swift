extension Bridge {
  /// Names that a peer has registered, bound or subscribed to, those among them that policy has put to sleep.
  package func nameCount(of peer: PeerID) -> Int {
    guard peers.has(peer) else { return 0 }
    let record = peers[peer.slot]
    return record.registrations.count + record.sleeping.count + record.bound.count + record.subscriptions.count
  }

  /// Bytes of calls' bodies that have been let go, ever.
  package var freedBytes: Int { mutating get { calls.freedBytes } }

  /// Gives memory back that is held for peers, names and registrations that have gone. It looks at all free places, so it
  /// is for a quiet moment.
  package mutating func shrink() {
    peers.shrink()
    functions.shrink()
    registrations.shrink()
  }
}
