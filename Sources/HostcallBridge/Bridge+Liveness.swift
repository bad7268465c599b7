import HostcallWire

/// Peers that say nothing, and calls that are never completed (protocol section 4, *Liveness and leaving*).
extension Bridge {
  /// Something came from the peer, a whole frame or a part of one.
  package mutating func peerIsHeard(_ peer: PeerID, now: UInt64) {
    guard peers.has(peer) else { return }
    peers[peer.slot].heardNanoseconds = now
    peers[peer.slot].pingedNanoseconds = 0
  }

  /// Calls are there: somebody has to be alive for them. Without calls no clock runs.
  mutating func watchLiveness(now: UInt64) {
    guard livenessCheckMilliseconds == nil, limits.livenessMilliseconds > 0 else { return }
    livenessCheckMilliseconds = Self.milliseconds(now) + UInt64(max(1, limits.livenessMilliseconds / 4))
  }

  /// Pings who was silent for half of the limit, and closes who was for all of it.
  mutating func checkLiveness(now: UInt64, into actions: inout ActionBuffer) {
    livenessCheckMilliseconds = nil
    let limit = UInt64(limits.livenessMilliseconds) * 1_000_000
    for slot in peers.all where isExpectedToLive(slot) {
      let silence = now - min(now, peers[slot].heardNanoseconds)
      let pinged = peers[slot].pingedNanoseconds
      if silence >= limit, pinged > 0, now - pinged >= limit / 2 {
        notify("liveness-milliseconds", limits.livenessMilliseconds, slot: slot, into: &actions)
        close(
          slot, .timeout, "nothing was heard for \(limits.livenessMilliseconds) ms (liveness-milliseconds)",
          into: &actions)
      } else if silence >= limit / 2, pinged == 0 {
        peers[slot].pingedNanoseconds = now
        send(FrameHeader(kind: .ping, id: now), to: slot, into: &actions)
      }
    }
    if calls.active > 0 { watchLiveness(now: now) }
  }

  /// Whether calls wait for the peer, or it for calls.
  private func isExpectedToLive(_ slot: Slot) -> Bool {
    !peers[slot].isLocal && (peers[slot].state == .open || peers[slot].state == .leaving)
      && (peers[slot].calls.count > 0 || peers[slot].work.count > 0)
  }

  /// A call has ended and its worker still holds it: not for ever.
  mutating func watchAbandoned(_ call: Call, now: UInt64) {
    guard limits.abandonedMilliseconds > 0 else { return }
    deadlines.set(
      call.pointee.slot, deadlineMilliseconds: Self.milliseconds(now) + UInt64(limits.abandonedMilliseconds))
  }

  /// The worker has held a call for too long after its end: its place is free again, whatever becomes of it there.
  mutating func releaseAbandoned(_ call: Call, now: UInt64, into actions: inout ActionBuffer) {
    notify("abandoned-milliseconds", limits.abandonedMilliseconds, slot: call.pointee.worker.slot, into: &actions)
    giveUp(placeTaken(by: call), of: call, wasCompleted: false, now: now, into: &actions)
  }
}
