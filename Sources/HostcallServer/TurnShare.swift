import HostcallBridge

/// How much is read from one connection before others have their turn.
///
/// Whoever has a lot to say is read in large pieces, which is cheapest, as long as everybody else has a lot to say too.
/// Where somebody has said little, as one does who waits for each answer, the pieces are so small that what they bring
/// keeps the loop for about ``nanosecondsBesideOthers``. A share belongs to the loop thread.
struct TurnShare {
  /// Bytes of the largest piece.
  static let mostBytes = 262_144
  /// Bytes of the smallest piece.
  static let fewestBytes = 1_024
  /// Bytes of the largest piece where somebody else wants only little: what is read is also to be written.
  static let mostBytesBesideOthers = 32_768
  /// How long what is read may keep the loop then, in nanoseconds.
  static let nanosecondsBesideOthers: UInt64 = 25_000
  /// How long somebody who wanted little is thought of, in nanoseconds.
  static let nanosecondsRemembered: UInt64 = 2_000_000

  /// Who wanted little last, and when.
  struct Modest {
    var peer = PeerID.nobody
    var nanoseconds: UInt64 = 0
  }

  private var bytesBesideOthers = fewestBytes

  /// Bytes to read from `peer` now.
  func bytes(for peer: PeerID, beside modest: Modest, now: UInt64) -> Int {
    modest.peer == peer || modest.peer == .nobody || now &- modest.nanoseconds > Self.nanosecondsRemembered
      ? Self.mostBytes : bytesBesideOthers
  }

  /// So many bytes of `peer` have kept the loop from `start` to `end`.
  mutating func took(_ byteCount: Int, of peer: PeerID, from start: UInt64, to end: UInt64, _ modest: inout Modest) {
    let elapsed = max(end &- start, 1)
    if elapsed < Self.nanosecondsBesideOthers / 2, byteCount < Self.fewestBytes {
      modest = Modest(peer: peer, nanoseconds: end)
    }
    let bytes = UInt64(byteCount) * Self.nanosecondsBesideOthers / elapsed
    bytesBesideOthers = min(max(Int(bytes), Self.fewestBytes), Self.mostBytesBesideOthers)
  }
}
