import HostcallWire

/// Ends that nobody asked for, and CANCEL (protocol section 4).
extension Bridge {
  mutating func hitDeadline(_ call: Slot, now: UInt64, into actions: inout ActionBuffer) {
    if calls[call].state == .abandoned { return releaseAbandoned(call, now: now, into: &actions) }
    guard calls[call].state == .queued || calls[call].state == .running else { return }
    let timeout = calls[call].timeoutMilliseconds
    let isOfWorker = calls[call].deadlineMilliseconds > now / 1_000_000 && calls[call].state == .running
    let allowed = isOfWorker ? registrations[calls[call].registration].timeoutMilliseconds : 0
    end(call, .timeout, now: now, into: &actions) { name, _ in
      isOfWorker
        ? "\(name): no outcome within the \(allowed) ms that its worker lets it run"
        : "\(name): no outcome within \(timeout) ms"
    }
  }

  /// CANCEL from a caller. One whose request is not outstanding does nothing: its RESULT is on the way.
  mutating func cancel(_ request: UInt64, from slot: Slot, now: UInt64, into actions: inout ActionBuffer) {
    guard let call = requests.find(caller: slot, request: request) else { return }
    end(call, .cancelled, now: now, into: &actions) { name, _ in "\(name): cancelled by the caller" }
  }

  /// The connection of a peer has ended, for whatever reason.
  ///
  /// - Parameters:
  ///   - sentBytes: how many of all bytes sent to it had left the daemon.
  ///   - unsentFrame: the bytes of a frame that had not wholly left, by where it ends in the stream and by its size.
  package mutating func peerIsGone(
    _ peer: PeerID, sentBytes: UInt64, now: UInt64, into actions: inout ActionBuffer,
    unsentFrame: (_ end: UInt64, _ byteCount: Int) -> UnsentFrame?
  ) {
    guard peers.has(peer) else { return }
    let slot = peer.slot
    peers[slot].state = .closing
    let heldOthersUp = hasNoMorePlaces(peers[slot].user)
    while peers[slot].calls.count > 0 {
      let call = peers[slot].calls.first
      if calls[call].flags.has(.noReply) {
        orphan(call)
      } else {
        abandon(call, .callerLost, now: now, into: &actions)
      }
    }
    var again: [Slot] = []
    while peers[slot].work.count > 0 {
      let call = peers[slot].work.first
      guard calls[call].state == .running else {
        leavePlace(call)
        release(call)
        continue
      }
      rescueBody(of: call, sentBytes: sentBytes, unsentFrame)
      let mayRunAgain = canStreamAgain(call) && (isIdempotent(call) || calls[call].invokeEnd > sentBytes)
      leavePlace(call)
      calls[call].worker = .nobody
      if mayRunAgain, calls[call].hasBody, Int(calls[call].attempts) <= limits.resends {
        again.append(call)
      } else {
        endLost(call, into: &actions)
      }
    }
    again.sort { calls[$0].arrival < calls[$1].arrival }
    retire(peers[slot].registrations.values.sorted(), sendingAgain: again, now: now, into: &actions)
    for bound in peers[slot].bound { functions.release(bound.function) }
    for handle in peers[slot].sleeping.keys { forgetSleeping(handle, of: slot) }
    policies.releaseForm(peers[slot].policyForm)
    for subject in peers[slot].subscriptions { endSubscription(subject, of: slot) }
    if peers[slot].hasGreeted { announce("hostcall.peer.disconnected", peer: slot, into: &actions) }
    if peers[slot].isLocal { localPeers -= 1 }
    let user = peers[slot].user
    users[user].connections -= 1
    users[user].inputBytes -= peers[slot].inputBytes
    users[user].outputBytes -= peers[slot].chargedOutputBytes + peers[slot].events.bytes
    users[user].boundHandles -= peers[slot].bound.count
    peers.release(slot)
    if heldOthersUp { serveQueues(now: now, into: &actions) }
  }

  /// A call that nobody waits for goes on when its caller goes: to hand it over and leave is what NO_REPLY is for.
  private mutating func orphan(_ call: Slot) {
    let caller = calls[call].caller.slot
    orphans[call] = Orphan(identity: peers[caller].identity, session: peers[caller].session)
    calls.removeFromCaller(call, &peers[caller].calls)
    calls[call].caller = .nobody
  }

  private func isIdempotent(_ call: Slot) -> Bool {
    calls[call].flags.has(.idempotent) || registrations[calls[call].registration].isIdempotent
  }

  /// Keeps metadata and payload of a call whose INVOKE had not wholly left, out of what waited to be written.
  private mutating func rescueBody(
    of call: Slot, sentBytes: UInt64, _ unsentFrame: (UInt64, Int) -> UnsentFrame?
  ) {
    guard calls[call].invokeEnd > sentBytes, !calls[call].hasBody,
      calls.storedBytes + Int(calls[call].bodyBytes) <= limits.storedPayloadBytes,
      users[calls[call].user].storedBytes + Int(calls[call].bodyBytes)
        <= users[calls[call].user].limits.storedPayloadBytesPerUser,
      let frame = unsentFrame(calls[call].invokeEnd, Int(calls[call].invokeBytes))
    else { return }
    keepBody(frame.stored(lastBytes: Int(calls[call].bodyBytes)), of: call)
  }

  /// Lets a call that lost its worker wait for another one, in front of those that came after it.
  mutating func queueAgain(_ call: Slot, targets: inout [Slot], into actions: inout ActionBuffer) {
    let called = calls[call].called
    let serving = functions.serving(called)
    guard let queue = serving ?? (calls[call].flags.has(.wait) ? called : nil) else {
      return endLost(call, into: &actions)
    }
    deadlines.set(call, deadlineMilliseconds: calls[call].deadlineMilliseconds)
    enqueue(call, in: queue)
    if !targets.contains(queue) { targets.append(queue) }
  }

  /// Ends a call that was to be sent again, where it found no place and its queue is past its limit: those who wait
  /// there already must not pay for it.
  mutating func endLostIfExcess(_ call: Slot, into actions: inout ActionBuffer) {
    guard calls[call].state == .queued,
      Int(functions[calls[call].queue].queue.count) > limits.queuedCallsPerFunction
    else { return }
    dequeue(call)
    endLost(call, into: &actions)
  }

  /// The call stands in no list of a worker or queue; its caller is told that the worker was lost.
  private mutating func endLost(_ call: Slot, into actions: inout ActionBuffer) {
    answer(call, .workerLost, into: &actions) { name, _ in
      "\(name): its worker went away while it may have been running the call"
    }
    detachFromCaller(call, .workerLost, countsAsFailure: false)
    release(call)
  }
}
