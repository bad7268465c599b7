import HostcallWire

/// COMPLETE, and every other way in which a call ends (protocol section 4, *Completing*).
extension Bridge {
  mutating func complete(
    _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?, from slot: Slot, now: UInt64,
    into actions: inout ActionBuffer
  ) {
    let header = frame.header
    guard let call = callInHand(header, of: slot, into: &actions) else { return }
    if call.pointee.state == .running {
      var status = header.status
      if header.flags.has(.descriptors), let problem = problemOfResult(frame, descriptors, of: call) {
        status = .unknown
        answer(call, status, into: &actions) { name, _ in "\(name): \(problem)" }
      } else if !call.pointee.flags.has(.noReply) {
        var result = FrameHeader(
          kind: .result, flags: Self.resultFlags(header), encoding: header.encoding, status: header.status,
          id: call.pointee.request)
        result.call = header.id
        result.metadataBytes = header.metadataBytes
        send(
          result, to: peers.pointer(to: call.pointee.caller.slot), prefixStart: actions.end,
          sourceStart: Int(header.nameBytes), sourceBytes: Int(header.bodyBytes) - Int(header.nameBytes),
          descriptors: descriptors, into: &actions)
      }
      let function = functions.pointer(to: registrations[call.pointee.registration].function)
      function.pointee.latency.record(nanoseconds: now &- call.pointee.dispatchedNanoseconds)
      if status != .ok { function.pointee.failures &+= 1 }
      detachFromCaller(call, status)
    } else if header.status != .cancelled {
      reject(header.id, .late, to: slot, into: &actions)
    }
    giveUpPlace(call, wasCompleted: true, now: now, into: &actions)
  }

  @inline(__always)
  private static func resultFlags(_ completion: FrameHeader) -> FrameFlags {
    FrameFlags(
      rawValue: FrameFlags.fromWorker.rawValue | completion.flags.rawValue & FrameFlags.descriptors.rawValue)
  }

  /// A COMPLETE that is too large to be passed on ends its call with TOO_LARGE.
  mutating func completeTooLarge(
    _ header: FrameHeader, from slot: Slot, _ reason: String, now: UInt64, into actions: inout ActionBuffer
  ) {
    guard let call = callInHand(header, of: slot, into: &actions) else { return }
    if call.pointee.state == .running {
      reject(header.id, .tooLarge, to: slot, into: &actions)
      answer(call, .tooLarge, into: &actions) { name, _ in "\(name): its completion has \(reason)" }
      functions[registrations[call.pointee.registration].function].failures += 1
      detachFromCaller(call, .tooLarge)
    } else if header.status != .cancelled {
      reject(header.id, .late, to: slot, into: &actions)
    }
    giveUpPlace(call, wasCompleted: true, now: now, into: &actions)
  }

  /// The running or abandoned call that a COMPLETE of this worker is for. Where there is none, the worker is told why.
  private mutating func callInHand(
    _ header: FrameHeader, of slot: Slot, into actions: inout ActionBuffer
  ) -> Call? {
    guard let call = calls.find(CorrelationID(rawValue: header.id)), call.pointee.worker == peers[slot].id else {
      reject(header.id, .unknownCall, to: slot, into: &actions)
      return nil
    }
    switch call.pointee.state {
    case .running, .abandoned: return call
    case .free:
      reject(header.id, call.pointee.wasCompleted ? .duplicate : .late, to: slot, into: &actions)
      return nil
    case .queued: preconditionFailure("a queued call has a worker")
    }
  }

  mutating func reject(_ id: UInt64, _ status: Status, to slot: Slot, into actions: inout ActionBuffer) {
    statistics.completionsRejected += 1
    send(FrameHeader(kind: .rejected, status: status, id: id), to: slot, into: &actions)
  }

  /// The worker has completed a call, or holds it no longer: its place is free, and the next that waits may have it.
  @inline(__always)
  mutating func giveUpPlace(_ call: Call, wasCompleted: Bool, now: UInt64, into actions: inout ActionBuffer) {
    let function = registrations[call.pointee.registration].function
    call.pointee.wasCompleted = wasCompleted
    if hasNoMorePlaces(peers[call.pointee.worker.slot].user) || functions[function].queue.count > 0 {
      handOnPlace(of: call, function, now: now, into: &actions)
    } else {
      leavePlace(call)
      release(call)
    }
  }

  /// Gives a place up for which others wait, of the same function or of any.
  @inline(never)
  private mutating func handOnPlace(of call: Call, _ function: Slot, now: UInt64, into actions: inout ActionBuffer) {
    let holdsOthersUp = hasNoMorePlaces(peers[call.pointee.worker.slot].user)
    functions.retain(function)
    leavePlace(call)
    release(call)
    if holdsOthersUp {
      serveQueues(now: now, into: &actions)
    } else {
      serveQueue(function, now: now, into: &actions)
    }
    functions.release(function)
  }

  /// Whether the workers of a user hold as many calls as they may, so that other functions of theirs wait.
  @inline(__always)
  func hasNoMorePlaces(_ user: Slot) -> Bool {
    let user = users.pointer(to: user)
    return user.pointee.runningCalls >= user.pointee.limits.runningCallsPerUser
  }

  /// Takes a call out of its worker's list and out of its registration's places.
  @inline(__always)
  mutating func leavePlace(_ call: Call) {
    let registration = registrations.pointer(to: call.pointee.registration)
    let worker = peers.pointer(to: call.pointee.worker.slot)
    CallTable.removePlace(call, from: &worker.pointee.work)
    users[worker.pointee.user].runningCalls &-= 1
    registration.pointee.places &-= 1
    functions[registration.pointee.function].running &-= 1
    call.pointee.registration = .none
    if !registration.pointee.isActive { releaseIfIdle(registration.pointee.slot) }
  }

  /// Gives the place in the table back; the call has ended for everybody.
  @inline(__always)
  mutating func release(_ call: Call) {
    let called = call.pointee.called
    dropBody(of: call)
    deadlines.cancel(call.pointee.slot)
    calls.release(call)
    functions.release(called)
  }

  // MARK: Outcomes that the daemon gives

  /// Ends a queued or running call with an outcome of the daemon's own. A worker that runs it is told to cancel, and
  /// holds its place until it completes.
  mutating func end(
    _ call: Call, _ status: Status, now: UInt64, into actions: inout ActionBuffer,
    because reason: (_ name: String, _ limits: Limits) -> String
  ) {
    answer(call, status, into: &actions, because: reason)
    abandon(call, status, now: now, into: &actions)
  }

  /// Sends the caller its RESULT.
  mutating func answer(
    _ call: Call, _ status: Status, into actions: inout ActionBuffer,
    because reason: (_ name: String, _ limits: Limits) -> String
  ) {
    if call.pointee.flags.has(.noReply) { return }
    var result = FrameHeader(kind: .result, status: status, id: call.pointee.request)
    result.call = call.pointee.id.rawValue
    send(
      result, to: call.pointee.caller.slot, text: reason(functions.text(call.pointee.called), limits), into: &actions)
  }

  /// The call has ended for its caller.
  mutating func abandon(_ call: Call, _ status: Status, now: UInt64, into actions: inout ActionBuffer) {
    let state = call.pointee.state
    if state == .running {
      let function = registrations[call.pointee.registration].function
      send(
        FrameHeader(kind: .cancel, status: status, id: call.pointee.id.rawValue), to: call.pointee.worker.slot,
        into: &actions)
      functions[function].failures += 1
      call.pointee.state = .abandoned
      dropBody(of: call)
      detachFromCaller(call, status)
      watchAbandoned(call, now: now)
    } else {
      precondition(state == .queued, "a call ends that is \(state)")
      dequeue(call)
      detachFromCaller(call, status)
      release(call)
    }
  }

  /// The call has its outcome: nothing of the caller's refers to it any more.
  @inline(__always)
  mutating func detachFromCaller(_ call: Call, _ status: Status) {
    let caller = call.pointee.caller.slot
    if caller == .none {
      orphans[call.pointee.slot] = nil
    } else {
      CallTable.removeFromCaller(call, &peers[caller].calls)
    }
    if !call.pointee.flags.has(.noReply) {
      requests.remove(caller: caller, request: call.pointee.request)
    }
    if call.pointee.stream != .none { closeStream(of: call) }
    deadlines.cancel(call.pointee.slot)
    users[call.pointee.user].callsInFlight &-= 1
    statistics.outcomes[Int(status.rawValue)] &+= 1
    outstanding &-= 1
    drainedIfEmpty()
  }
}
