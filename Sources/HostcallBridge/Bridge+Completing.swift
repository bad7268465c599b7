import HostcallWire

/// COMPLETE, and every other way in which a call ends (protocol section 4, *Completing*).
extension Bridge {
  mutating func complete(
    _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?, from slot: Slot, now: UInt64,
    into actions: inout ActionBuffer
  ) {
    guard let call = callInHand(frame, of: slot, into: &actions) else { return }
    let place = placeTaken(by: call)
    if call.pointee.state == .running {
      var status = frame.header.status
      if frame.header.flags.has(.descriptors), let problem = problemOfResult(frame, descriptors, of: call) {
        status = .unknown
        answer(call, status, into: &actions) { name, _ in "\(name): \(problem)" }
      } else if !call.pointee.flags.has(.noReply) {
        var result = FrameHeader(
          kind: .result, flags: Self.resultFlags(frame.header.flags), encoding: frame.header.encoding,
          status: frame.header.status,
          id: call.pointee.request)
        result.call = frame.header.id
        result.metadataBytes = frame.header.metadataBytes
        send(
          result, to: peers.pointer(to: call.pointee.caller.slot), prefixStart: actions.end,
          sourceStart: Int(frame.header.nameBytes),
          sourceBytes: Int(frame.header.bodyBytes) - Int(frame.header.nameBytes),
          descriptors: descriptors, into: &actions)
      }
      place.function.pointee.latency.record(nanoseconds: now &- call.pointee.dispatchedNanoseconds)
      if status != .ok { place.function.pointee.failures &+= 1 }
      trace(.ended(status), of: call, into: &actions)
      detachFromCaller(call, status)
    } else if frame.header.status != .cancelled {
      reject(frame.header.id, .late, to: slot, into: &actions)
    }
    giveUp(place, of: call, wasCompleted: true, now: now, into: &actions)
  }

  @inline(__always)
  private static func resultFlags(_ completion: FrameFlags) -> FrameFlags {
    FrameFlags(
      rawValue: FrameFlags.fromWorker.rawValue | completion.rawValue & FrameFlags.descriptors.rawValue)
  }

  /// A COMPLETE that is too large to be passed on ends its call with TOO_LARGE.
  mutating func completeTooLarge(
    _ frame: DecodedFrame, from slot: Slot, _ reason: String, now: UInt64, into actions: inout ActionBuffer
  ) {
    let header = frame.header
    guard let call = callInHand(frame, of: slot, into: &actions) else { return }
    if call.pointee.state == .running {
      reject(header.id, .tooLarge, to: slot, into: &actions)
      answer(call, .tooLarge, into: &actions) { name, _ in "\(name): its completion has \(reason)" }
      functions[registrations[call.pointee.registration].function].failures += 1
      trace(.ended(.tooLarge), of: call, into: &actions)
      detachFromCaller(call, .tooLarge)
    } else if header.status != .cancelled {
      reject(header.id, .late, to: slot, into: &actions)
    }
    giveUp(placeTaken(by: call), of: call, wasCompleted: true, now: now, into: &actions)
  }

  /// The running or abandoned call that a COMPLETE of this worker is for. Where there is none, the worker is told why.
  @inline(__always)
  private mutating func callInHand(
    _ frame: DecodedFrame, of slot: Slot, into actions: inout ActionBuffer
  ) -> Call? {
    if let call = calls.find(CorrelationID(rawValue: frame.header.id)), call.pointee.worker == peers[slot].id,
      call.pointee.state == .running || call.pointee.state == .abandoned
    {
      return call
    }
    rejectCompletion(frame.header.id, of: slot, into: &actions)
    return nil
  }

  /// Tells a worker why a COMPLETE is for no call that it holds.
  @inline(never)
  private mutating func rejectCompletion(_ id: UInt64, of slot: Slot, into actions: inout ActionBuffer) {
    guard let call = calls.find(CorrelationID(rawValue: id)), call.pointee.worker == peers[slot].id else {
      return reject(id, .unknownCall, to: slot, into: &actions)
    }
    precondition(call.pointee.state == .free, "a queued call has a worker")
    reject(id, call.pointee.wasCompleted ? .duplicate : .late, to: slot, into: &actions)
  }

  mutating func reject(_ id: UInt64, _ status: Status, to slot: Slot, into actions: inout ActionBuffer) {
    statistics.completionsRejected += 1
    send(FrameHeader(kind: .rejected, status: status, id: id), to: slot, into: &actions)
  }

  /// The worker has completed a call, or holds it no longer: its place is free, and the next that waits may have it.
  @inline(__always)
  mutating func giveUp(
    _ place: WorkPlace, of call: Call, wasCompleted: Bool, now: UInt64, into actions: inout ActionBuffer
  ) {
    call.pointee.wasCompleted = wasCompleted
    if Self.hasNoMorePlaces(place.workerUser) || place.function.pointee.queue.count > 0 {
      handOn(place, of: call, now: now, into: &actions)
    } else {
      leave(place, of: call)
      release(call)
    }
  }

  /// Gives a place up for which others wait, of the same function or of any.
  @inline(never)
  private mutating func handOn(_ place: WorkPlace, of call: Call, now: UInt64, into actions: inout ActionBuffer) {
    let holdsOthersUp = Self.hasNoMorePlaces(place.workerUser)
    let function = place.registration.pointee.function
    functions.retain(function)
    leave(place, of: call)
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
  static func hasNoMorePlaces(_ user: UnsafeMutablePointer<UserRecord>) -> Bool {
    user.pointee.runningCalls >= user.pointee.limits.runningCallsPerUser
  }

  /// Takes a call out of its worker's list and out of its registration's places.
  @inline(__always)
  mutating func leave(_ place: WorkPlace, of call: Call) {
    CallTable.removePlace(call, from: &place.worker.pointee.work)
    place.workerUser.pointee.runningCalls &-= 1
    place.registration.pointee.places &-= 1
    place.function.pointee.running &-= 1
    call.pointee.registration = .none
    if !place.registration.pointee.isActive { releaseIfIdle(place.registration.pointee.slot) }
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
      trace(.ended(status), of: call, into: &actions)
      detachFromCaller(call, status)
      deadlines.cancel(call.pointee.slot)
      watchAbandoned(call, now: now)
    } else {
      precondition(state == .queued, "a call ends that is \(state)")
      dequeue(call)
      trace(.ended(status), of: call, into: &actions)
      detachFromCaller(call, status)
      release(call)
    }
  }

  /// The call has its outcome: nothing of the caller's refers to it any more. Its deadline stands, for whoever holds it on.
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
    users[call.pointee.user].callsInFlight &-= 1
    statistics.outcomes[Int(status.rawValue)] &+= 1
    outstanding &-= 1
    drainedIfEmpty()
  }
}
