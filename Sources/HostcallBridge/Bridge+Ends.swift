import HostcallWire

/// Ends that nobody asked for, and CANCEL (protocol section 4).
extension Bridge {
  mutating func hitDeadline(_ call: Call, now: UInt64, into actions: inout ActionBuffer) {
    if call.pointee.state == .abandoned { return releaseAbandoned(call, now: now, into: &actions) }
    guard call.pointee.state == .queued || call.pointee.state == .running else { return }
    let timeout = call.pointee.timeoutMilliseconds
    let isOfWorker = call.pointee.deadlineMilliseconds > now / 1_000_000 && call.pointee.state == .running
    let allowed = isOfWorker ? registrations[call.pointee.registration].timeoutMilliseconds : 0
    end(call, .timeout, now: now, into: &actions) { name, _ in
      isOfWorker
        ? "\(name): no outcome within the \(allowed) ms that its worker lets it run"
        : "\(name): no outcome within \(timeout) ms"
    }
  }

  /// CANCEL from a caller. One whose request is not outstanding does nothing: its RESULT is on the way.
  mutating func cancel(_ request: UInt64, from slot: Slot, now: UInt64, into actions: inout ActionBuffer) {
    guard let call = requests.find(caller: slot, request: request).map({ calls[$0] }) else { return }
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
    let heldOthersUp = Self.hasNoMorePlaces(users.pointer(to: peers[slot].user))
    while let call = peers[slot].calls.first {
      if call.pointee.flags.has(.noReply) {
        orphan(call)
      } else {
        abandon(call, .callerLost, now: now, into: &actions)
      }
    }
    var again: [Call] = []
    while let call = peers[slot].work.first {
      guard call.pointee.state == .running else {
        leave(placeTaken(by: call), of: call)
        release(call)
        continue
      }
      rescueBody(of: call, sentBytes: sentBytes, unsentFrame)
      let mayRunAgain = canStreamAgain(call) && (isIdempotent(call) || call.pointee.invokeEnd > sentBytes)
      leave(placeTaken(by: call), of: call)
      call.pointee.worker = .nobody
      if call.pointee.invokeEnd <= sentBytes { call.pointee.losses += 1 }
      if mayRunAgain, call.pointee.hasBody, Int(call.pointee.attempts) <= limits.resends {
        if Int(call.pointee.losses) < limits.workersLostPerCall {
          again.append(call)
        } else {
          quarantine(call, into: &actions)
        }
      } else {
        endLost(call, into: &actions)
      }
    }
    again.sort { $0.pointee.arrival < $1.pointee.arrival }
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
  private mutating func orphan(_ call: Call) {
    let caller = call.pointee.caller.slot
    orphans[call.pointee.slot] = Orphan(identity: peers[caller].identity, session: peers[caller].session)
    CallTable.removeFromCaller(call, &peers[caller].calls)
    call.pointee.caller = .nobody
  }

  private func isIdempotent(_ call: Call) -> Bool {
    call.pointee.flags.has(.idempotent) || registrations[call.pointee.registration].isIdempotent
  }

  /// Keeps metadata and payload of a call whose INVOKE had not wholly left, out of what waited to be written.
  private mutating func rescueBody(
    of call: Call, sentBytes: UInt64, _ unsentFrame: (UInt64, Int) -> UnsentFrame?
  ) {
    guard call.pointee.invokeEnd > sentBytes, !call.pointee.hasBody,
      calls.storedBytes + Int(call.pointee.bodyBytes) <= limits.storedPayloadBytes,
      users[call.pointee.user].storedBytes + Int(call.pointee.bodyBytes)
        <= users[call.pointee.user].limits.storedPayloadBytesPerUser,
      let frame = unsentFrame(call.pointee.invokeEnd, Int(call.pointee.invokeBytes))
    else { return }
    keepBody(frame.stored(lastBytes: Int(call.pointee.bodyBytes)), of: call)
  }

  /// Lets a call that lost its worker wait for another one, in front of those that came after it.
  mutating func queueAgain(_ call: Call, targets: inout [Slot], into actions: inout ActionBuffer) {
    let called = call.pointee.called
    let serving = functions.serving(called)
    guard let queue = serving ?? (waitsForWorker(call) ? called : nil) else {
      return endLost(call, into: &actions)
    }
    deadlines.set(call.pointee.slot, deadlineMilliseconds: call.pointee.deadlineMilliseconds)
    enqueue(call, in: queue)
    if !targets.contains(queue) { targets.append(queue) }
  }

  /// Ends a call that was to be sent again, where it found no place and its queue is past its limit: those who wait
  /// there already must not pay for it.
  mutating func endLostIfExcess(_ call: Call, into actions: inout ActionBuffer) {
    guard call.pointee.state == .queued,
      Int(functions[call.pointee.queue].queue.count) > limits.queuedCallsPerFunction
    else { return }
    dequeue(call)
    endLost(call, into: &actions)
  }

  /// Every worker that had the call was lost with it, as many as may be: it ends, and the log says whose it was.
  private mutating func quarantine(_ call: Call, into actions: inout ActionBuffer) {
    let limit = limits.workersLostPerCall
    let caller = call.pointee.caller.slot
    let identity = caller == .none ? orphans[call.pointee.slot]?.identity : peers[caller].identity
    if let identity {
      actions.tell(LimitNotice(identity: identity, limit: "workers-lost-per-call", value: limit))
    }
    endLost(call, into: &actions) { name, limits in
      "\(name): \(limits.workersLostPerCall) workers went away while they may have been running the call, so it is given "
        + "to no other (workers-lost-per-call)"
    }
  }

  /// The call stands in no list of a worker or queue; its caller is told that the worker was lost.
  private mutating func endLost(
    _ call: Call, into actions: inout ActionBuffer,
    because reason: (_ name: String, _ limits: Limits) -> String = { name, _ in
      "\(name): its worker went away while it may have been running the call"
    }
  ) {
    answer(call, .workerLost, into: &actions, because: reason)
    trace(.ended(.workerLost), of: call, into: &actions)
    detachFromCaller(call, .workerLost)
    release(call)
  }
}
