import HostcallWire

/// CALL until its INVOKE (protocol section 4, *Calling*).
extension Bridge {
  mutating func call(
    _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?, from slot: Slot, now: UInt64,
    into actions: inout ActionBuffer
  ) {
    let peer = peers.pointer(to: slot)
    let user = users.pointer(to: peer.pointee.user)
    guard case .running = phase else { return refuse(frame, from: slot, .shuttingDown, into: &actions) }
    guard !frame.header.flags.has(.noReply) || (!frame.header.flags.has(.open) && frame.header.aux == 0) else {
      return refuse(frame, from: slot, .itemsWithoutReply, into: &actions)
    }
    guard Int(peer.pointee.calls.count) < user.pointee.limits.callsInFlightPerConnection else {
      return refuse(frame, from: slot, .callsOfConnection, into: &actions)
    }
    guard user.pointee.callsInFlight < user.pointee.limits.callsInFlightPerUser else {
      return refuse(frame, from: slot, .callsOfUser, into: &actions)
    }
    guard frame.header.function == 0 || Int(frame.header.function) <= peer.pointee.bound.count else {
      return refuse(frame, from: slot, .handleNeverGiven, into: &actions)
    }
    guard isCallPermitted(frame, from: slot) else { return refuse(frame, from: slot, .denied, into: &actions) }
    if descriptors != nil, refusesDescriptors(frame, descriptors, from: slot, into: &actions) { return }
    var called = frame.header.function == 0 ? .none : peer.pointee.bound[Int(frame.header.function) - 1].function
    let serving = called == .none ? functions.serving(frame.name) : functions.serving(called)
    if serving == nil, !frame.header.flags.has(.wait),
      !functions.hasDemands || !(called == .none ? mayAwaitWorker(frame.name) : mayAwaitWorker(called))
    {
      return refuse(frame, from: slot, .notFound, into: &actions)
    }
    if called == .none {
      guard let known = functions.find(frame.name, insertingUpTo: limits.functions) else {
        return refuse(frame, from: slot, .tooManyFunctions, into: &actions)
      }
      called = known
    }
    let queue = serving ?? called
    let function = functions.pointer(to: queue)
    let place = function.pointee.queue.count == 0 ? findPlace(function) : nil
    let isKept: Bool
    if let place {
      guard mayDispatch(frame, to: place, from: slot, called, into: &actions) else { return }
      isKept = frame.header.flags.has(.idempotent) || place.registration.pointee.isIdempotent
    } else {
      guard mayQueue(frame, in: queue, from: slot, called, into: &actions) else { return }
      isKept = true
    }
    if isKept, !mayKeep(frame, from: slot, called, into: &actions) { return }
    guard calls.active < limits.callsInFlight, let call = calls.allocate() else {
      return refuseAsFull(frame, from: slot, called, into: &actions)
    }
    functions.retain(called)
    accept(call, frame, from: peer, user: user, called: called, now: now)
    trace(.accepted, of: call, into: &actions)
    if isKept { keepBody(of: call, frame, descriptors) }
    if let place {
      dispatch(
        call, to: place, incomingStart: Int(frame.header.nameBytes), incomingDescriptors: descriptors, now: now,
        into: &actions)
    } else {
      enqueue(call, in: queue)
    }
  }

  // MARK: Accepting

  /// The call is accepted: from here on it has exactly one outcome.
  @inline(__always)
  private mutating func accept(
    _ call: Call, _ frame: DecodedFrame, from peer: Peer, user: UnsafeMutablePointer<UserRecord>, called: Slot,
    now: UInt64
  ) {
    let asked =
      frame.header.timeoutMilliseconds == 0 ? limits.defaultTimeoutMilliseconds : Int(frame.header.timeoutMilliseconds)
    let timeout = UInt32(truncatingIfNeeded: min(asked, limits.timeoutMilliseconds))
    let deadline = Self.milliseconds(now) &+ UInt64(timeout)
    call.pointee.flags = frame.header.flags
    call.pointee.encoding = frame.header.encoding
    call.pointee.metadataBytes = frame.header.metadataBytes
    call.pointee.bodyBytes = frame.header.bodyBytes &- UInt32(frame.header.nameBytes)
    call.pointee.caller = peer.pointee.id
    call.pointee.user = peer.pointee.user
    call.pointee.request = frame.header.id
    call.pointee.called = called
    call.pointee.timeoutMilliseconds = timeout
    call.pointee.deadlineMilliseconds = deadline
    call.pointee.acceptedNanoseconds = now
    user.pointee.callsInFlight &+= 1
    if frame.header.aux > 0 || frame.header.flags.has(.open) { openStream(of: call, credit: frame.header.aux) }
    peer.pointee.hasCalled = true
    watchLiveness(now: now)
    deadlines.set(call.pointee.slot, deadlineMilliseconds: deadline)
    CallTable.appendToCaller(call, &peer.pointee.calls)
    if !frame.header.flags.has(.noReply) {
      requests.insert(caller: peer.pointee.id.slot, request: frame.header.id, call: call.pointee.slot)
    }
    outstanding &+= 1
    statistics.callsAccepted &+= 1
  }

  private mutating func keepBody(of call: Call, _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?) {
    keepBody(StoredBody(frame, from: Int(frame.header.nameBytes), descriptors: descriptors), of: call)
  }

  /// Keeps metadata and payload of a call, charged to its user.
  mutating func keepBody(_ body: StoredBody, of call: Call) {
    dropBody(of: call)
    calls.keepBody(body, for: call)
    users[call.pointee.user].storedBytes += body.byteCount
  }

  @inline(__always)
  mutating func dropBody(of call: Call) {
    if call.pointee.hasBody { dropKeptBody(of: call) }
  }

  @inline(never)
  private mutating func dropKeptBody(of call: Call) {
    guard let body = calls.body(call) else { return }
    users[call.pointee.user].storedBytes -= body.byteCount
    calls.dropBody(call)
  }

  // MARK: Choosing

  /// A place for one call with a worker, as the records that count it.
  struct WorkPlace {
    let function: UnsafeMutablePointer<FunctionRecord>
    let registration: UnsafeMutablePointer<RegistrationRecord>
    let worker: Peer
    let workerUser: UnsafeMutablePointer<UserRecord>
  }

  /// The place that a running or abandoned call has.
  @inline(__always)
  mutating func placeTaken(by call: Call) -> WorkPlace {
    let registration = registrations.pointer(to: call.pointee.registration)
    let worker = peers.pointer(to: call.pointee.worker.slot)
    return WorkPlace(
      function: functions.pointer(to: registration.pointee.function), registration: registration, worker: worker,
      workerUser: users.pointer(to: worker.pointee.user))
  }

  /// A place with the worker that has the fewest calls, among those with a free one; ties go round.
  ///
  /// Mutating, as all that is called for each call: to call what cannot change it, the compiler copies the whole bridge.
  @inline(__always)
  mutating func findPlace(_ function: UnsafeMutablePointer<FunctionRecord>) -> WorkPlace? {
    function.pointee.registrations.count == 1
      ? place(of: function.pointee.registrations[0], function) : findPlaceAmongMany(function)
  }

  @inline(never)
  private mutating func findPlaceAmongMany(_ function: UnsafeMutablePointer<FunctionRecord>) -> WorkPlace? {
    let count = function.pointee.registrations.count
    var best: (index: Int, place: WorkPlace)?
    for step in 0..<count {
      let index = (function.pointee.nextTurn + step) % count
      guard let place = place(of: function.pointee.registrations[index], function),
        place.worker.pointee.work.count < best?.place.worker.pointee.work.count ?? .max
      else { continue }
      best = (index, place)
    }
    guard let best else { return nil }
    function.pointee.nextTurn = (best.index + 1) % count
    return best.place
  }

  /// The place that a registration has for one more call, nil where it has none or its worker should have none.
  @inline(__always)
  private mutating func place(of slot: Slot, _ function: UnsafeMutablePointer<FunctionRecord>) -> WorkPlace? {
    let registration = registrations.pointer(to: slot)
    let worker = peers.pointer(to: registration.pointee.worker.slot)
    let user = users.pointer(to: worker.pointee.user)
    guard registration.pointee.places < registration.pointee.concurrency,
      !worker.pointee.isBacklogged, worker.pointee.state == .open, !Self.isFull(worker, user),
      user.pointee.runningCalls < user.pointee.limits.runningCallsPerUser
    else { return nil }
    return WorkPlace(function: function, registration: registration, worker: worker, workerUser: user)
  }

  /// Whether as much as a peer may leave unread has been sent to it since the shell last said what had left: then the
  /// shell has its turn before more is dispatched, however much waits.
  mutating func isFull(_ slot: Slot) -> Bool {
    Self.isFull(peers.pointer(to: slot), users.pointer(to: peers[slot].user))
  }

  @inline(__always)
  static func isFull(_ peer: Peer, _ user: UnsafeMutablePointer<UserRecord>) -> Bool {
    !peer.pointee.isLocal
      && peer.pointee.outputPosition &- peer.pointee.sentBytes > UInt64(user.pointee.limits.outputBytesPerConnection)
  }

  // MARK: Dispatching

  static let roomForMetadata = Int(UInt16.max) - 160
  static let noRoomForMetadata = "its metadata leaves no room for the caller's identity, which the worker asked for"

  /// Sends the INVOKE. The body is what is kept for the call or else what came in, from `incomingStart` on.
  mutating func dispatch(
    _ call: Call, to place: WorkPlace, incomingStart: Int = 0, incomingDescriptors: (any FrameDescriptors)? = nil,
    now: UInt64, into actions: inout ActionBuffer
  ) {
    let offer = place.registration
    let worker = place.worker
    let nowMilliseconds = Self.milliseconds(now)
    var deadline = call.pointee.deadlineMilliseconds
    let limit = UInt64(offer.pointee.timeoutMilliseconds)
    if limit > 0, nowMilliseconds &+ limit < deadline {
      deadline = nowMilliseconds &+ limit
      deadlines.set(call.pointee.slot, deadlineMilliseconds: deadline)
    }
    let isIdempotent = call.pointee.flags.has(.idempotent) || offer.pointee.isIdempotent
    var header = FrameHeader(
      kind: .invoke, flags: Self.invokeFlags(call.pointee.flags, isIdempotent), encoding: call.pointee.encoding,
      id: call.pointee.id.rawValue, function: offer.pointee.handle,
      timeoutMilliseconds: UInt32(truncatingIfNeeded: max(1, Int64(bitPattern: deadline &- nowMilliseconds))))
    if call.pointee.stream != .none { header.aux = startStream(of: call) }
    let start = actions.end
    header.metadataBytes = call.pointee.metadataBytes
    if place.function.pointee.isPattern || offer.pointee.wantsCaller {
      writePrefix(of: call, to: place, &header, into: &actions)
    }
    let bodyBytes = Int(call.pointee.bodyBytes)
    if call.pointee.hasBody, let body = calls.body(call) {
      let kept = actions.keep(body)
      send(
        header, to: worker, prefixStart: start, source: .stored(kept), sourceBytes: bodyBytes,
        descriptors: body.descriptors, into: &actions)
      if !isIdempotent { dropBody(of: call) }
    } else {
      send(
        header, to: worker, prefixStart: start, sourceStart: incomingStart, sourceBytes: bodyBytes,
        descriptors: incomingDescriptors, into: &actions)
    }
    if call.pointee.attempts > 0 { statistics.callsSentAgain += 1 }
    call.pointee.state = .running
    call.pointee.attempts += 1
    call.pointee.worker = worker.pointee.id
    call.pointee.registration = offer.pointee.slot
    call.pointee.dispatchedNanoseconds = now
    call.pointee.invokeEnd = worker.pointee.outputPosition
    call.pointee.invokeBytes = UInt32(truncatingIfNeeded: FrameHeader.byteCount + actions.end - start + bodyBytes)
    CallTable.appendPlace(call, to: &worker.pointee.work)
    offer.pointee.places &+= 1
    place.workerUser.pointee.runningCalls &+= 1
    place.function.pointee.running &+= 1
    place.function.pointee.calls &+= 1
    if call.pointee.stream != .none { continueStream(of: call, into: &actions) }
    trace(.dispatched, of: call, into: &actions)
  }

  /// Writes what INVOKE has in front of what the caller sent: the called name, where a pattern is registered, and who the
  /// caller is, where the worker wants to know.
  @inline(never)
  private mutating func writePrefix(
    of call: Call, to place: WorkPlace, _ header: inout FrameHeader, into actions: inout ActionBuffer
  ) {
    let start = actions.end
    if place.function.pointee.isPattern {
      actions.write(functions[call.pointee.called].name)
      header.nameBytes = UInt16(actions.end - start)
    }
    let metadataStart = actions.end
    if place.registration.pointee.wantsCaller { writeCaller(of: call, into: &actions) }
    header.metadataBytes += UInt16(actions.end - metadataStart)
  }

  /// OPEN and DESCRIPTORS are passed on as they came; IDEMPOTENT is the call's or its registration's.
  @inline(__always)
  private static func invokeFlags(_ call: FrameFlags, _ isIdempotent: Bool) -> FrameFlags {
    FrameFlags(
      rawValue: call.rawValue & (FrameFlags.open.rawValue | FrameFlags.descriptors.rawValue)
        | (isIdempotent ? FrameFlags.idempotent.rawValue : 0))
  }

  private func writeCaller(of call: Call, into actions: inout ActionBuffer) {
    let caller = call.pointee.caller.slot
    let orphan = orphans[call.pointee.slot]
    let identity = orphan?.identity ?? peers[caller].identity
    actions.writeMetadata("hostcall-caller-uid", String(identity.userID))
    actions.writeMetadata("hostcall-caller-gid", String(identity.groupID))
    actions.writeMetadata("hostcall-caller-pid", String(identity.processID))
    actions.writeMetadata("hostcall-caller-session", String(orphan?.session ?? peers[caller].session))
  }
}
