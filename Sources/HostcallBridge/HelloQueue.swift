/// Peers whose HELLO is due, in order of time: all have the same time for it, so who came first is due first.
struct HelloQueue {
  private var waiting: [(peer: PeerID, milliseconds: UInt64)] = []
  private var start = 0

  mutating func append(_ peer: PeerID, milliseconds: UInt64) {
    waiting.append((peer, milliseconds))
  }

  /// Who came first.
  var first: (peer: PeerID, milliseconds: UInt64)? {
    start < waiting.count ? waiting[start] : nil
  }

  /// Forgets who came first.
  mutating func removeFirst() {
    start += 1
    if start * 2 > waiting.count {
      waiting.removeFirst(start)
      start = 0
    }
  }
}
