import HostcallWire

/// REGISTER, UNREGISTER and BIND (protocol section 4, *Registering* and *Calling*).
extension Bridge {
  /// How a registration joins those that are there.
  private enum Mode: String {
    case shared
    case exclusive
    case replace
  }

  private struct RegisterOptions {
    var mode = Mode.shared
    var isIdempotent = false
    var wantsCaller = false
  }

  mutating func register(_ frame: DecodedFrame, from slot: Slot, now: UInt64, into actions: inout ActionBuffer) {
    let header = frame.header
    let name = FrameRules.printable(frame.name)
    guard phase == .running, peers[slot].state == .open else {
      return refuse(header, to: slot, .shuttingDown, "\(name): no registration after GOAWAY", into: &actions)
    }
    guard peers[slot].isLocal || !NameRules.isReserved(frame.name) else {
      return refuse(
        header, to: slot, .invalidArgument, "\(name): names that begin with hostcall. belong to the daemon",
        into: &actions)
    }
    guard isPermitted(.register, frame.name, to: slot) else {
      return deny(.register, header, name, to: slot, into: &actions)
    }
    let options: RegisterOptions
    switch readOptions(frame.metadata) {
    case .success(let read): options = read
    case .failure(let problem):
      return refuse(header, to: slot, .invalidArgument, "\(name): \(problem.reason)", into: &actions)
    }
    let user = peers[slot].user
    let own = users[user].limits
    guard
      hasRoom(
        for: header, frame.name, "registrations",
        ofConnection: Quota(
          limit: "registrations-per-connection", count: peers[slot].registrations.count + peers[slot].sleeping.count,
          most: own.registrationsPerConnection),
        ofUser: Quota(
          limit: "registrations-per-user", count: users[user].registrations, most: own.registrationsPerUser),
        from: slot, into: &actions)
    else { return }
    let function = functions.findOrInsert(frame.name)
    if let problem = conflict(of: options.mode, by: slot, on: function) {
      return refuse(header, to: slot, .alreadyRegistered, "\(name): \(problem)", into: &actions)
    }
    let handle = addRegistration(of: function, by: slot, options, header)
    if functions[function].sleeping > 0 { forgetSleeping(function, of: options.mode == .replace ? peers.all : [slot]) }
    send(FrameHeader(kind: .result, id: header.id, aux: handle), to: slot, into: &actions)
    if let registration = peers[slot].registrations[handle] {
      announce("hostcall.function.registered", registration: registration, into: &actions)
    }
    if options.mode == .replace {
      let mine = peers[slot].registrations[handle]
      retire(functions[function].registrations.filter { $0 != mine }, now: now, into: &actions)
    }
    adoptQueued(function, now: now, into: &actions)
  }

  private mutating func addRegistration(
    of function: Slot, by slot: Slot, _ options: RegisterOptions, _ header: FrameHeader
  ) -> UInt32 {
    let concurrency = header.aux == 0 ? limits.defaultConcurrency : min(Int(header.aux), limits.concurrency)
    peers[slot].registrationsGiven += 1
    let handle = peers[slot].registrationsGiven
    functions.retain(function)
    activate(
      RegistrationRecord(
        worker: peers[slot].id, function: function, handle: handle, concurrency: UInt32(concurrency),
        timeoutMilliseconds: header.timeoutMilliseconds, isIdempotent: options.isIdempotent,
        wantsCaller: options.wantsCaller, isActive: true),
      isExclusive: options.mode == .exclusive)
    return handle
  }

  /// A registration takes calls from now on. It keeps a reference to its function, which the caller has made.
  mutating func activate(_ record: RegistrationRecord, isExclusive: Bool) {
    let registration = registrations.allocate(record)
    peers[record.worker.slot].registrations[record.handle] = registration
    users[peers[record.worker.slot].user].registrations += 1
    functions.addRegistration(registration, to: record.function)
    functions[record.function].isExclusive = isExclusive
  }

  /// Why the mode cannot be had, nil where it can.
  private func conflict(of mode: Mode, by slot: Slot, on function: Slot) -> String? {
    if functions[function].registrations.contains(where: { registrations[$0].worker == peers[slot].id }) {
      return "this connection has registered it already"
    }
    if functions[function].isExclusive { return "another worker has it exclusively" }
    if mode == .exclusive, !functions[function].registrations.isEmpty {
      return "another worker has it, so it cannot be had exclusively"
    }
    return nil
  }

  private struct OptionProblem: Error {
    let reason: String
  }

  private func readOptions(_ metadata: UnsafeRawBufferPointer) -> Result<RegisterOptions, OptionProblem> {
    var options = RegisterOptions()
    var reader = MetadataReader(metadata)
    while let (key, value) = reader.next() {
      let key = FrameRules.printable(key)
      let value = FrameRules.printable(value)
      switch (key, value) {
      case ("mode", _):
        guard let mode = Mode(rawValue: value) else {
          return .failure(OptionProblem(reason: "mode is shared, exclusive or replace, not “\(value)”"))
        }
        options.mode = mode
      case ("idempotent", "true"): options.isIdempotent = true
      case ("caller", "true"): options.wantsCaller = true
      case ("idempotent", "false"), ("caller", "false"): break
      case ("idempotent", _), ("caller", _):
        return .failure(OptionProblem(reason: "\(key) is true or false, not “\(value)”"))
      default: break
      }
    }
    return .success(options)
  }

  // MARK: Going

  mutating func unregister(_ frame: DecodedFrame, from slot: Slot, now: UInt64, into actions: inout ActionBuffer) {
    let handle = frame.header.function
    guard handle != 0, handle <= peers[slot].registrationsGiven else {
      return refuse(
        frame.header, to: slot, .invalidArgument, "the handle \(handle) was never given out for a registration",
        into: &actions)
    }
    if let registration = peers[slot].registrations[handle] {
      retire([registration], now: now, into: &actions)
    }
    forgetSleeping(handle, of: slot)
    send(FrameHeader(kind: .result, id: frame.header.id), to: slot, into: &actions)
  }

  /// From now on registrations take no calls; each goes when it has finished those that it has.
  ///
  /// - Parameter again: calls that lost their worker and are to be sent to another, the oldest first.
  mutating func retire(
    _ retired: [Slot], sendingAgain again: [Call] = [], now: UInt64, into actions: inout ActionBuffer
  ) {
    deactivate(retired, into: &actions)
    moveQueues(leaving: retired, sendingAgain: again, now: now, into: &actions)
  }

  /// Registrations take no calls any more; ``moveQueues(leaving:sendingAgain:joining:now:into:)`` has to follow.
  mutating func deactivate(_ retired: [Slot], into actions: inout ActionBuffer) {
    for registration in retired {
      let record = registrations[registration]
      registrations[registration].isActive = false
      peers[record.worker.slot].registrations[record.handle] = nil
      users[peers[record.worker.slot].user].registrations -= 1
      functions.removeRegistration(registration, from: record.function)
      announce("hostcall.function.unregistered", registration: registration, into: &actions)
    }
  }

  /// Waiting calls go to where they belong now that registrations have come and gone.
  ///
  /// All queues are put in order before any is served, so that calls start in the order in which they came.
  ///
  /// - Parameters:
  ///   - retired: registrations that have been deactivated.
  ///   - again: calls that lost their worker and are to be sent to another, the oldest first.
  ///   - joined: functions that have been given registrations.
  mutating func moveQueues(
    leaving retired: [Slot], sendingAgain again: [Call] = [], joining joined: [Slot] = [], now: UInt64,
    into actions: inout ActionBuffer
  ) {
    var targets = joined
    for call in again { queueAgain(call, targets: &targets, into: &actions) }
    for function in joined { moveQueued(to: function) }
    for registration in retired {
      let function = registrations[registration].function
      if functions[function].registrations.isEmpty {
        rehomeQueue(of: function, targets: &targets, now: now, into: &actions)
      }
    }
    for target in targets { serveQueue(target, now: now, into: &actions) }
    for call in again.reversed() { endLostIfExcess(call, into: &actions) }
    for target in targets { endExcess(of: target, now: now, into: &actions) }
    for registration in retired { releaseIfIdle(registration) }
  }

  /// Lets a registration go that takes no calls and has none.
  mutating func releaseIfIdle(_ registration: Slot) {
    guard !registrations[registration].isActive, registrations[registration].places == 0 else { return }
    let function = registrations[registration].function
    registrations.release(registration)
    functions.release(function)
  }

  // MARK: Binding

  mutating func bind(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    let header = frame.header
    guard isPermitted(.call, frame.name, to: slot) else {
      return deny(.call, header, FrameRules.printable(frame.name), to: slot, into: &actions)
    }
    if let handle = functions.find(frame.name).flatMap({ peers[slot].handles[$0] }) {
      return send(FrameHeader(kind: .result, id: header.id, aux: handle), to: slot, into: &actions)
    }
    let user = peers[slot].user
    let own = users[user].limits
    guard
      hasRoom(
        for: header, frame.name, "bound names",
        ofConnection: Quota(
          limit: "bound-handles-per-connection", count: peers[slot].bound.count, most: own.boundHandlesPerConnection),
        ofUser: Quota(
          limit: "bound-handles-per-user", count: users[user].boundHandles, most: own.boundHandlesPerUser),
        from: slot, into: &actions)
    else { return }
    let function = functions.findOrInsert(frame.name)
    functions.retain(function)
    users[user].boundHandles += 1
    peers[slot].bound.append(BoundHandle(function: function, policyEpoch: policies.epoch))
    let handle = UInt32(peers[slot].bound.count)
    peers[slot].handles[function] = handle
    send(FrameHeader(kind: .result, id: header.id, aux: handle), to: slot, into: &actions)
  }
}
