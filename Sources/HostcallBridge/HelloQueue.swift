/// Peers whose HELLO is due, in order of time: all have the same time for it, so who came first is due first.
struct HelloQueue {
  private var waiting: [(peer: PeerID, milliseconds: UInt64)] = []
  private var start = 0

  mutating func append(_ peer: PeerID, milliseconds: UInt64) {
    waiting.append((peer, milliseconds))
  }

  /// The first that has not said HELLO; those before it that have, or that are gone, are forgotten.
  mutating func first(where isWaiting: (PeerID) -> Bool) -> (peer: PeerID, milliseconds: UInt64)? {
    while start < waiting.count, !isWaiting(waiting[start].peer) { start += 1 }
    if start * 2 > waiting.count {
      waiting.removeFirst(start)
      start = 0
    }
    return start < waiting.count ? waiting[start] : nil
  }
}
