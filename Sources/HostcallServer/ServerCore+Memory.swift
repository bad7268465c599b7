import HostcallLoop

/// Giving memory back when a burst is over.
extension ServerCore {
  /// Peers and names that have to go before it is worth the while to look for memory that can be given back.
  private static let goneBeforeShrinking = 256
  /// Bytes of frames and calls that have to be freed before it is.
  private static let freedBytesBeforeShrinking = 4 << 20
  private static let millisecondsBeforeShrinking: UInt64 = 500

  /// Bytes of frames that waited for peers, and of calls, that have been freed, ever.
  private var freedBytes: Int { loop.chunkPool.freedBytes &+ bridge.freedBytes }

  /// Looks for memory that can be given back where a burst is over, a little later: who goes is seldom alone.
  func shrinkAfterBurst() {
    guard
      !shrinkingIsDue,
      usesSegments || goneSinceShrinking >= Self.goneBeforeShrinking
        || freedBytes &- freedBytesAtShrinking >= Self.freedBytesBeforeShrinking
    else { return }
    scheduleShrinking()
  }

  func scheduleShrinking() {
    shrinkingIsDue = true
    shrinkTimer = shrinkTimer ?? LoopTimer(loop) { [unowned self] in assumeIsolated { $0.shrink() } }
    shrinkTimer?.schedule(afterMilliseconds: Self.millisecondsBeforeShrinking)
  }

  func shrink() {
    shrinkingIsDue = false
    goneSinceShrinking = 0
    freedBytesAtShrinking = freedBytes
    bridge.shrink()
    connections.shrink()
    loop.chunkPool.dropSpare()
    usesSegments = false
    // What the burst has used until now goes when it has lain idle for as long again.
    if loop.segmentPool.dropUnneeded() > 0 { scheduleShrinking() }
    FreedMemory.giveBack()
  }
}
