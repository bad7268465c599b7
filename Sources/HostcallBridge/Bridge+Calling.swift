import HostcallWire

/// CALL until its INVOKE (protocol section 4, *Calling*).
extension Bridge {
  mutating func call(
    _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?, from slot: Slot, now: UInt64,
    into actions: inout ActionBuffer
  ) {
    let header = frame.header
    guard phase == .running else {
      return refuse(
        header, to: slot, .shuttingDown, "\(title(frame, slot)): the daemon is shutting down", into: &actions)
    }
    guard !header.flags.has(.noReply) || (!header.flags.has(.open) && header.aux == 0) else {
      return refuse(
        header, to: slot, .invalidArgument, "\(title(frame, slot)): a call without reply has no items", into: &actions)
    }
    let user = peers[slot].user
    let most = users[user].limits.callsInFlightPerConnection
    guard Int(peers[slot].calls.count) < most else {
      return refuse(
        header, to: slot, meeting: "calls-in-flight-per-connection", of: most,
        "\(title(frame, slot)): this connection has \(most) calls in flight, the most it may have", into: &actions)
    }
    guard users[user].callsInFlight < users[user].limits.callsInFlightPerUser else {
      let most = users[user].limits.callsInFlightPerUser
      return refuse(
        header, to: slot, meeting: "calls-in-flight-per-user", of: most,
        "\(title(frame, slot)): this user has \(most) calls in flight, the most it may have", into: &actions)
    }
    guard header.function == 0 || Int(header.function) <= peers[slot].bound.count else {
      return refuse(
        header, to: slot, .invalidArgument, "the handle \(header.function) was never given out by BIND", into: &actions)
    }
    guard isCallPermitted(frame, from: slot) else {
      return deny(.call, header, title(frame, slot), to: slot, into: &actions)
    }
    if descriptors != nil, refusesDescriptors(header, descriptors, from: slot, title(frame, slot), into: &actions) {
      return
    }
    let serving =
      header.function == 0
      ? functions.serving(frame.name) : functions.serving(peers[slot].bound[Int(header.function) - 1].function)
    guard serving != nil || header.flags.has(.wait) else {
      return refuse(header, to: slot, .notFound, "\(title(frame, slot)): nobody has registered it", into: &actions)
    }
    guard header.function != 0 || functions.find(frame.name) != nil || functions.count < limits.functions else {
      return refuse(
        header, to: slot, meeting: "functions", of: limits.functions, "\(title(frame, slot)): \(tooManyFunctions)",
        into: &actions)
    }
    let called =
      header.function == 0 ? functions.findOrInsert(frame.name) : peers[slot].bound[Int(header.function) - 1].function
    functions.retain(called)
    let queue = serving ?? called
    let registration = functions[queue].queue.count == 0 ? chooseWorker(queue) : nil
    if let problem = problem(with: header, from: slot, queue: queue, registration: registration) {
      refuse(header, to: slot, because: problem, functions.text(called), into: &actions)
      return functions.release(called)
    }
    guard let call = calls.allocate() else {
      refuse(header, to: slot, because: tooManyCalls, functions.text(called), into: &actions)
      return functions.release(called)
    }
    accept(call, header, from: slot, called: called, now: now)
    if let registration {
      if registrations[registration].isIdempotent || header.flags.has(.idempotent) {
        keepBody(of: call, frame, descriptors)
      }
      dispatch(
        call, to: registration, incomingStart: Int(header.nameBytes), incomingDescriptors: descriptors, now: now,
        into: &actions)
    } else {
      keepBody(of: call, frame, descriptors)
      enqueue(call, in: queue)
    }
  }

  /// What keeps a call from being accepted, beyond what was checked before its function was known.
  ///
  /// It changes nothing: to call what cannot change it, the compiler copies the whole bridge.
  private mutating func problem(
    with header: FrameHeader, from slot: Slot, queue: Slot, registration: Slot?
  ) -> Problem? {
    let user = peers[slot].user
    let bodyBytes = Int(header.bodyBytes) - Int(header.nameBytes)
    var isKept = header.flags.has(.idempotent)
    if let registration {
      isKept = isKept || registrations[registration].isIdempotent
      if registrations[registration].wantsCaller, Int(header.metadataBytes) > Self.roomForMetadata {
        return Problem(reason: Self.noRoomForMetadata)
      }
      if header.flags.has(.descriptors), !peers[registrations[registration].worker.slot].takesDescriptors {
        return Problem(reason: Self.noDescriptors)
      }
    } else {
      isKept = true
      let own = users[user].limits
      if Int(functions[queue].queue.count) >= limits.queuedCallsPerFunction {
        return Problem(
          "queued-calls-per-function", limits.queuedCallsPerFunction,
          "\(limits.queuedCallsPerFunction) calls wait for it, the most that may")
      }
      if peers[slot].queuedCalls >= own.queuedCallsPerConnection {
        return Problem(
          "queued-calls-per-connection", own.queuedCallsPerConnection,
          "\(own.queuedCallsPerConnection) calls of this connection wait, the most that may")
      }
      if users[user].queuedCalls >= own.queuedCallsPerUser {
        return Problem(
          "queued-calls-per-user", own.queuedCallsPerUser,
          "\(own.queuedCallsPerUser) calls of this user wait, the most that may")
      }
    }
    if isKept, calls.storedBytes + bodyBytes > limits.storedPayloadBytes {
      return Problem(
        "stored-payload-bytes", limits.storedPayloadBytes,
        "the daemon keeps \(calls.storedBytes) bytes of payload, \(limits.storedPayloadBytes) are the most")
    }
    if isKept, users[user].storedBytes + bodyBytes > users[user].limits.storedPayloadBytesPerUser {
      let most = users[user].limits.storedPayloadBytesPerUser
      return Problem(
        "stored-payload-bytes-per-user", most,
        "the daemon keeps \(users[user].storedBytes) bytes of payload for this user, \(most) are the most")
    }
    return calls.active >= limits.callsInFlight ? tooManyCalls : nil
  }

  private var tooManyCalls: Problem {
    Problem(
      "calls-in-flight", limits.callsInFlight,
      "the daemon has \(limits.callsInFlight) calls in flight, the most it may have")
  }

  /// What keeps a call from being accepted.
  private struct Problem {
    let reason: String
    /// The limit that is met; nil where the call can never be right.
    let limit: (name: StaticString, value: Int)?

    init(reason: String) {
      self.reason = reason
      limit = nil
    }

    init(_ name: StaticString, _ value: Int, _ reason: String) {
      self.reason = reason
      limit = (name, value)
    }
  }

  private mutating func refuse(
    _ header: FrameHeader, to slot: Slot, because problem: Problem, _ name: String, into actions: inout ActionBuffer
  ) {
    let reason = "\(name): \(problem.reason)"
    if let limit = problem.limit {
      refuse(header, to: slot, meeting: limit.name, of: limit.value, reason, into: &actions)
    } else {
      refuse(header, to: slot, .invalidArgument, reason, into: &actions)
    }
  }

  /// The call is accepted: from here on it has exactly one outcome.
  private mutating func accept(_ call: Slot, _ header: FrameHeader, from slot: Slot, called: Slot, now: UInt64) {
    let asked = header.timeoutMilliseconds == 0 ? limits.defaultTimeoutMilliseconds : Int(header.timeoutMilliseconds)
    let timeout = UInt32(min(asked, limits.timeoutMilliseconds))
    let deadline = Self.milliseconds(now) + UInt64(timeout)
    let caller = peers.id(slot)
    let user = peers[slot].user
    let record = calls.pointer(to: call)
    record.pointee.flags = header.flags
    record.pointee.encoding = header.encoding
    record.pointee.metadataBytes = header.metadataBytes
    record.pointee.bodyBytes = header.bodyBytes - UInt32(header.nameBytes)
    record.pointee.caller = caller
    record.pointee.user = user
    record.pointee.request = header.id
    record.pointee.called = called
    record.pointee.timeoutMilliseconds = timeout
    record.pointee.deadlineMilliseconds = deadline
    record.pointee.acceptedNanoseconds = now
    users[user].callsInFlight += 1
    openStream(of: call, credit: header.aux)
    peers[slot].hasCalled = true
    watchLiveness(now: now)
    deadlines.set(call, deadlineMilliseconds: deadline)
    calls.appendToCaller(call, &peers[slot].calls)
    if !header.flags.has(.noReply) { requests.insert(caller: slot, request: header.id, call: call) }
    outstanding += 1
    statistics.callsAccepted += 1
  }

  private mutating func keepBody(of call: Slot, _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?) {
    keepBody(StoredBody(frame, from: Int(frame.header.nameBytes), descriptors: descriptors), of: call)
  }

  /// Keeps metadata and payload of a call, charged to its user.
  mutating func keepBody(_ body: StoredBody, of call: Slot) {
    dropBody(of: call)
    calls.keepBody(body, for: call)
    users[calls[call].user].storedBytes += body.byteCount
  }

  mutating func dropBody(of call: Slot) {
    guard let body = calls.body(call) else { return }
    users[calls[call].user].storedBytes -= body.byteCount
    calls.dropBody(call)
  }

  /// The function that a CALL names, for people.
  private func title(_ frame: DecodedFrame, _ slot: Slot) -> String {
    let handle = Int(frame.header.function)
    if handle == 0 { return FrameRules.printable(frame.name) }
    guard handle <= peers[slot].bound.count else { return "handle \(handle)" }
    return functions.text(peers[slot].bound[handle - 1].function)
  }

  // MARK: Choosing

  /// The registration whose worker has the fewest calls, among those with a free place; ties go round.
  mutating func chooseWorker(_ function: Slot) -> Slot? {
    let count = functions[function].registrations.count
    if count == 1 {
      let only = functions[function].registrations[0]
      return canTake(only) ? only : nil
    }
    var best: (index: Int, load: UInt32)?
    for step in 0..<count {
      let index = (functions[function].nextTurn + step) % count
      let registration = functions[function].registrations[index]
      guard canTake(registration) else { continue }
      let load = peers[registrations[registration].worker.slot].work.count
      if load < best?.load ?? .max { best = (index, load) }
    }
    guard let best else { return nil }
    functions[function].nextTurn = (best.index + 1) % count
    return functions[function].registrations[best.index]
  }

  @inline(__always)
  private func canTake(_ registration: Slot) -> Bool {
    let worker = registrations[registration].worker.slot
    return registrations[registration].places < registrations[registration].concurrency
      && !peers[worker].isBacklogged && peers[worker].state == .open && !isFull(worker)
      && users[peers[worker].user].runningCalls < users[peers[worker].user].limits.runningCallsPerUser
  }

  /// Whether as much as a peer may leave unread has been sent to it since the shell last said what had left: then the
  /// shell has its turn before more is dispatched, however much waits.
  @inline(__always)
  func isFull(_ peer: Slot) -> Bool {
    if peers[peer].isLocal { return false }
    let limit = users[peers[peer].user].limits.outputBytesPerConnection
    return peers[peer].outputPosition - peers[peer].sentBytes > UInt64(limit)
  }

  // MARK: Dispatching

  static let roomForMetadata = Int(UInt16.max) - 160
  static let noRoomForMetadata = "its metadata leaves no room for the caller's identity, which the worker asked for"

  /// Sends the INVOKE. The body is what is kept for the call or else what came in, from `incomingStart` on.
  mutating func dispatch(
    _ call: Slot, to registration: Slot, incomingStart: Int = 0, incomingDescriptors: (any FrameDescriptors)? = nil,
    now: UInt64, into actions: inout ActionBuffer
  ) {
    let record = calls.pointer(to: call)
    let offer = registrations[registration]
    let worker = offer.worker.slot
    let function = offer.function
    let limit = UInt64(offer.timeoutMilliseconds)
    let nowMilliseconds = Self.milliseconds(now)
    var deadline = record.pointee.deadlineMilliseconds
    if limit > 0, nowMilliseconds + limit < deadline {
      deadline = nowMilliseconds + limit
      deadlines.set(call, deadlineMilliseconds: deadline)
    }
    let isIdempotent = record.pointee.flags.has(.idempotent) || offer.isIdempotent
    var header = FrameHeader(
      kind: .invoke, flags: invokeFlags(record.pointee.flags, isIdempotent), encoding: record.pointee.encoding,
      id: CorrelationID(slot: call, turn: record.pointee.turn).rawValue, function: offer.handle,
      timeoutMilliseconds: UInt32(max(1, Int64(deadline) - Int64(nowMilliseconds))), aux: startStream(of: call))
    let start = actions.end
    if functions[function].isPattern {
      actions.write(functions[record.pointee.called].name)
      header.nameBytes = UInt16(actions.end - start)
    }
    let metadataStart = actions.end
    if offer.wantsCaller { writeCaller(of: call, into: &actions) }
    header.metadataBytes = UInt16(actions.end - metadataStart) + record.pointee.metadataBytes
    let bodyBytes = Int(record.pointee.bodyBytes)
    if record.pointee.hasBody, let body = calls.body(call) {
      let place = actions.keep(body)
      send(
        header, to: worker, prefixStart: start, source: .stored(place), sourceBytes: bodyBytes,
        descriptors: body.descriptors, into: &actions)
      if !isIdempotent { dropBody(of: call) }
    } else {
      send(
        header, to: worker, prefixStart: start, sourceStart: incomingStart, sourceBytes: bodyBytes,
        descriptors: incomingDescriptors, into: &actions)
    }
    if record.pointee.attempts > 0 { statistics.callsSentAgain += 1 }
    record.pointee.state = .running
    record.pointee.attempts += 1
    record.pointee.worker = offer.worker
    record.pointee.registration = registration
    record.pointee.dispatchedNanoseconds = now
    record.pointee.invokeEnd = peers[worker].outputPosition
    record.pointee.invokeBytes = UInt32(FrameHeader.byteCount + actions.end - start + bodyBytes)
    calls.appendPlace(call, to: &peers[worker].work)
    registrations[registration].places += 1
    users[peers[worker].user].runningCalls += 1
    functions[function].running += 1
    functions[function].calls += 1
    continueStream(of: call, into: &actions)
  }

  /// OPEN and DESCRIPTORS are passed on as they came; IDEMPOTENT is the call's or its registration's.
  private func invokeFlags(_ call: FrameFlags, _ isIdempotent: Bool) -> FrameFlags {
    FrameFlags(
      rawValue: call.rawValue & (FrameFlags.open.rawValue | FrameFlags.descriptors.rawValue)
        | (isIdempotent ? FrameFlags.idempotent.rawValue : 0))
  }

  private func writeCaller(of call: Slot, into actions: inout ActionBuffer) {
    let caller = calls[call].caller.slot
    let orphan = orphans[call]
    let identity = orphan?.identity ?? peers[caller].identity
    actions.writeMetadata("hostcall-caller-uid", String(identity.userID))
    actions.writeMetadata("hostcall-caller-gid", String(identity.groupID))
    actions.writeMetadata("hostcall-caller-pid", String(identity.processID))
    actions.writeMetadata("hostcall-caller-session", String(orphan?.session ?? peers[caller].session))
  }
}
