import HostcallWire

/// COMPLETE, and every other way in which a call ends (protocol section 4, *Completing*).
extension Bridge {
  mutating func complete(
    _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?, from slot: Slot, now: UInt64,
    into actions: inout ActionBuffer
  ) {
    let header = frame.header
    guard let call = callInHand(header, of: slot, into: &actions) else { return }
    let record = calls.pointer(to: call)
    if record.pointee.state == .running {
      let caller = record.pointee.caller.slot
      var status = header.status
      if header.flags.has(.descriptors), let problem = problemOfResult(frame, descriptors, of: call) {
        status = .unknown
        answer(call, status, into: &actions) { name, _ in "\(name): \(problem)" }
      } else if !record.pointee.flags.has(.noReply) {
        var result = FrameHeader(
          kind: .result, flags: resultFlags(header), encoding: header.encoding, status: header.status,
          id: record.pointee.request)
        result.call = header.id
        result.metadataBytes = header.metadataBytes
        send(
          result, to: caller, prefixStart: actions.end, sourceStart: Int(header.nameBytes),
          sourceBytes: Int(header.bodyBytes) - Int(header.nameBytes), descriptors: descriptors, into: &actions)
      }
      let function = registrations[record.pointee.registration].function
      functions[function].latency.record(nanoseconds: now - record.pointee.dispatchedNanoseconds)
      detachFromCaller(call, status)
    } else if header.status != .cancelled {
      reject(header.id, .late, to: slot, into: &actions)
    }
    giveUpPlace(call, wasCompleted: true, now: now, into: &actions)
  }

  private func resultFlags(_ completion: FrameHeader) -> FrameFlags {
    FrameFlags(
      rawValue: FrameFlags.fromWorker.rawValue | completion.flags.rawValue & FrameFlags.descriptors.rawValue)
  }

  /// A COMPLETE that is too large to be passed on ends its call with TOO_LARGE.
  mutating func completeTooLarge(
    _ header: FrameHeader, from slot: Slot, _ reason: String, now: UInt64, into actions: inout ActionBuffer
  ) {
    guard let call = callInHand(header, of: slot, into: &actions) else { return }
    if calls[call].state == .running {
      reject(header.id, .tooLarge, to: slot, into: &actions)
      answer(call, .tooLarge, into: &actions) { name, _ in "\(name): its completion has \(reason)" }
      detachFromCaller(call, .tooLarge)
    } else if header.status != .cancelled {
      reject(header.id, .late, to: slot, into: &actions)
    }
    giveUpPlace(call, wasCompleted: true, now: now, into: &actions)
  }

  /// The running or abandoned call that a COMPLETE of this worker is for. Where there is none, the worker is told why.
  private mutating func callInHand(
    _ header: FrameHeader, of slot: Slot, into actions: inout ActionBuffer
  ) -> Slot? {
    let id = CorrelationID(rawValue: header.id)
    guard Int(id.slot) < calls.records.count, calls[id.slot].turn == id.turn,
      calls[id.slot].worker == peers.id(slot)
    else {
      reject(header.id, .unknownCall, to: slot, into: &actions)
      return nil
    }
    switch calls[id.slot].state {
    case .running, .abandoned: return id.slot
    case .free:
      reject(header.id, calls[id.slot].wasCompleted ? .duplicate : .late, to: slot, into: &actions)
      return nil
    case .queued: preconditionFailure("a queued call has a worker")
    }
  }

  mutating func reject(_ id: UInt64, _ status: Status, to slot: Slot, into actions: inout ActionBuffer) {
    statistics.completionsRejected += 1
    send(FrameHeader(kind: .rejected, status: status, id: id), to: slot, into: &actions)
  }

  /// The worker has completed a call, or holds it no longer: its place is free, and the next that waits may have it.
  mutating func giveUpPlace(_ call: Slot, wasCompleted: Bool, now: UInt64, into actions: inout ActionBuffer) {
    let registration = calls[call].registration
    let function = registrations[registration].function
    let holdsOthersUp = hasNoMorePlaces(peers[calls[call].worker.slot].user)
    calls[call].wasCompleted = wasCompleted
    functions.retain(function)
    leavePlace(call)
    release(call)
    if holdsOthersUp {
      serveQueues(now: now, into: &actions)
    } else if functions[function].queue.count > 0 {
      serveQueue(function, now: now, into: &actions)
    }
    functions.release(function)
  }

  /// Whether the workers of a user hold as many calls as they may, so that other functions of theirs wait.
  func hasNoMorePlaces(_ user: Slot) -> Bool {
    users[user].runningCalls >= users[user].limits.runningCallsPerUser
  }

  /// Takes a call out of its worker's list and out of its registration's places.
  mutating func leavePlace(_ call: Slot) {
    let record = calls.pointer(to: call)
    let registration = record.pointee.registration
    let worker = record.pointee.worker.slot
    calls.removePlace(call, from: &peers[worker].work)
    users[peers[worker].user].runningCalls -= 1
    registrations[registration].places -= 1
    functions[registrations[registration].function].running -= 1
    record.pointee.registration = .none
    releaseIfIdle(registration)
  }

  /// Gives the place in the table back; the call has ended for everybody.
  mutating func release(_ call: Slot) {
    let called = calls[call].called
    dropBody(of: call)
    deadlines.cancel(call)
    calls.release(call)
    functions.release(called)
  }

  // MARK: Outcomes that the daemon gives

  /// Ends a queued or running call with an outcome of the daemon's own. A worker that runs it is told to cancel, and
  /// holds its place until it completes.
  mutating func end(
    _ call: Slot, _ status: Status, now: UInt64, into actions: inout ActionBuffer,
    because reason: (_ name: String, _ limits: Limits) -> String
  ) {
    answer(call, status, into: &actions, because: reason)
    abandon(call, status, now: now, into: &actions)
  }

  /// Sends the caller its RESULT.
  mutating func answer(
    _ call: Slot, _ status: Status, into actions: inout ActionBuffer,
    because reason: (_ name: String, _ limits: Limits) -> String
  ) {
    if calls[call].flags.has(.noReply) { return }
    var result = FrameHeader(kind: .result, status: status, id: calls[call].request)
    result.call = calls.id(call).rawValue
    send(
      result, to: calls[call].caller.slot, text: reason(functions.text(calls[call].called), limits), into: &actions)
  }

  /// The call has ended for its caller.
  mutating func abandon(_ call: Slot, _ status: Status, now: UInt64, into actions: inout ActionBuffer) {
    let state = calls[call].state
    if state == .running {
      let function = registrations[calls[call].registration].function
      send(
        FrameHeader(kind: .cancel, status: status, id: calls.id(call).rawValue), to: calls[call].worker.slot,
        into: &actions)
      functions[function].failures += 1
      calls[call].state = .abandoned
      dropBody(of: call)
      detachFromCaller(call, status, countsAsFailure: false)
      watchAbandoned(call, now: now)
    } else {
      precondition(state == .queued, "a call ends that is \(state)")
      dequeue(call)
      detachFromCaller(call, status, countsAsFailure: false)
      release(call)
    }
  }

  /// The call has its outcome: nothing of the caller's refers to it any more.
  mutating func detachFromCaller(_ call: Slot, _ status: Status, countsAsFailure: Bool = true) {
    let record = calls.pointer(to: call)
    let caller = record.pointee.caller.slot
    if caller == .none {
      orphans[call] = nil
    } else {
      calls.removeFromCaller(call, &peers[caller].calls)
    }
    if !record.pointee.flags.has(.noReply) {
      requests.remove(caller: caller, request: record.pointee.request)
    }
    closeStream(of: call)
    deadlines.cancel(call)
    if countsAsFailure, status != .ok {
      functions[registrations[record.pointee.registration].function].failures += 1
    }
    users[record.pointee.user].callsInFlight -= 1
    statistics.outcomes[Int(status.rawValue)] += 1
    outstanding -= 1
    drainedIfEmpty()
  }
}
