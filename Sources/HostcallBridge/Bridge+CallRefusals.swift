import HostcallWire

/// CALLs that are not accepted (protocol section 4, *Calling*). Functions of their own, out of the way of those that are.
extension Bridge {
  /// What keeps a call from being accepted before its function is known.
  enum EarlyRefusal {
    case shuttingDown
    case itemsWithoutReply
    case callsOfConnection
    case callsOfUser
    case handleNeverGiven
    case denied
    case notFound
    case tooManyFunctions
  }

  @inline(never)
  mutating func refuse(
    _ frame: DecodedFrame, from slot: Slot, _ refusal: EarlyRefusal, into actions: inout ActionBuffer
  ) {
    let header = frame.header
    let own = users[peers[slot].user].limits
    switch refusal {
    case .shuttingDown:
      refuse(header, to: slot, .shuttingDown, "\(title(frame, slot)): the daemon is shutting down", into: &actions)
    case .itemsWithoutReply:
      refuse(
        header, to: slot, .invalidArgument, "\(title(frame, slot)): a call without reply has no items", into: &actions)
    case .callsOfConnection:
      let most = own.callsInFlightPerConnection
      refuse(
        header, to: slot, meeting: "calls-in-flight-per-connection", of: most,
        "\(title(frame, slot)): this connection has \(most) calls in flight, the most it may have", into: &actions)
    case .callsOfUser:
      let most = own.callsInFlightPerUser
      refuse(
        header, to: slot, meeting: "calls-in-flight-per-user", of: most,
        "\(title(frame, slot)): this user has \(most) calls in flight, the most it may have", into: &actions)
    case .handleNeverGiven:
      refuse(
        header, to: slot, .invalidArgument, "the handle \(header.function) was never given out by BIND", into: &actions)
    case .denied: deny(.call, header, title(frame, slot), to: slot, into: &actions)
    case .notFound where isOnDemand(frame, slot):
      refuse(header, to: slot, .unavailable, "\(title(frame, slot)): \(Self.startedTooOften)", into: &actions)
    case .notFound:
      refuse(header, to: slot, .notFound, "\(title(frame, slot)): nobody has registered it", into: &actions)
    case .tooManyFunctions:
      refuse(
        header, to: slot, meeting: "functions", of: limits.functions, "\(title(frame, slot)): \(tooManyFunctions)",
        into: &actions)
    }
  }

  /// Refuses a call because of the open files that came with it, if it has to be; whether it did.
  @inline(never)
  mutating func refusesDescriptors(
    _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?, from slot: Slot, into actions: inout ActionBuffer
  ) -> Bool {
    refusesDescriptors(frame.header, descriptors, from: slot, title(frame, slot), into: &actions)
  }

  /// Whether a worker could be started for a call, were it not started too often.
  private mutating func isOnDemand(_ frame: DecodedFrame, _ slot: Slot) -> Bool {
    guard functions.hasDemands else { return false }
    let handle = Int(frame.header.function)
    if handle == 0 { return functions.demand(of: frame.name) != .none }
    return functions[peers[slot].bound[handle - 1].function].demand != .none
  }

  /// The function that a CALL names, for people.
  private func title(_ frame: DecodedFrame, _ slot: Slot) -> String {
    let handle = Int(frame.header.function)
    if handle == 0 { return FrameRules.printable(frame.name) }
    guard handle <= peers[slot].bound.count else { return "handle \(handle)" }
    return functions.text(peers[slot].bound[handle - 1].function)
  }

  /// What keeps a call of a known function from being accepted.
  struct Refusal {
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

  /// Refuses a call of a function, whose record goes if it was made for this call.
  @inline(never)
  mutating func refuse(
    _ header: FrameHeader, to slot: Slot, _ refusal: Refusal, _ called: Slot,
    into actions: inout ActionBuffer
  ) {
    let reason = "\(functions.text(called)): \(refusal.reason)"
    if let limit = refusal.limit {
      refuse(header, to: slot, meeting: limit.name, of: limit.value, reason, into: &actions)
    } else {
      refuse(header, to: slot, .invalidArgument, reason, into: &actions)
    }
    functions.retain(called)
    functions.release(called)
  }

  @inline(never)
  mutating func refuseAsFull(
    _ frame: DecodedFrame, from slot: Slot, _ called: Slot, into actions: inout ActionBuffer
  ) {
    let refusal = Refusal(
      "calls-in-flight", limits.callsInFlight,
      "the daemon has \(limits.callsInFlight) calls in flight, the most it may have")
    refuse(frame.header, to: slot, refusal, called, into: &actions)
  }

  /// Whether a call can go to a worker that has a place for it; refuses it where not.
  @inline(__always)
  mutating func mayDispatch(
    _ frame: DecodedFrame, to place: WorkPlace, from slot: Slot, _ called: Slot, into actions: inout ActionBuffer
  ) -> Bool {
    let isTooMuch = place.registration.pointee.wantsCaller && Int(frame.header.metadataBytes) > Self.roomForMetadata
    let lacksDescriptors = frame.header.flags.has(.descriptors) && !place.worker.pointee.takesDescriptors
    if !isTooMuch, !lacksDescriptors { return true }
    refuse(
      frame, from: slot, called, because: isTooMuch ? Self.noRoomForMetadata : Self.noDescriptors, into: &actions)
    return false
  }

  @inline(never)
  mutating func refuse(
    _ frame: DecodedFrame, from slot: Slot, _ called: Slot, because reason: String, into actions: inout ActionBuffer
  ) {
    refuse(frame.header, to: slot, Refusal(reason: reason), called, into: &actions)
  }

  /// Whether a call may wait; refuses it where not.
  @inline(never)
  mutating func mayQueue(
    _ frame: DecodedFrame, in queue: Slot, from slot: Slot, _ called: Slot, into actions: inout ActionBuffer
  ) -> Bool {
    let user = peers[slot].user
    let own = users[user].limits
    var refusal: Refusal?
    if Int(functions[queue].queue.count) >= limits.queuedCallsPerFunction {
      refusal = Refusal(
        "queued-calls-per-function", limits.queuedCallsPerFunction,
        "\(limits.queuedCallsPerFunction) calls wait for it, the most that may")
    } else if peers[slot].queuedCalls >= own.queuedCallsPerConnection {
      refusal = Refusal(
        "queued-calls-per-connection", own.queuedCallsPerConnection,
        "\(own.queuedCallsPerConnection) calls of this connection wait, the most that may")
    } else if users[user].queuedCalls >= own.queuedCallsPerUser {
      refusal = Refusal(
        "queued-calls-per-user", own.queuedCallsPerUser,
        "\(own.queuedCallsPerUser) calls of this user wait, the most that may")
    }
    guard let refusal else { return true }
    refuse(frame.header, to: slot, refusal, called, into: &actions)
    return false
  }

  /// Whether metadata and payload of a call may be kept; refuses it where not.
  @inline(never)
  mutating func mayKeep(
    _ frame: DecodedFrame, from slot: Slot, _ called: Slot, into actions: inout ActionBuffer
  ) -> Bool {
    let user = peers[slot].user
    let bodyBytes = Int(frame.header.bodyBytes) - Int(frame.header.nameBytes)
    let ofUser = users[user].limits.storedPayloadBytesPerUser
    var refusal: Refusal?
    if calls.storedBytes + bodyBytes > limits.storedPayloadBytes {
      refusal = Refusal(
        "stored-payload-bytes", limits.storedPayloadBytes,
        "the daemon keeps \(calls.storedBytes) bytes of payload, \(limits.storedPayloadBytes) are the most")
    } else if users[user].storedBytes + bodyBytes > ofUser {
      refusal = Refusal(
        "stored-payload-bytes-per-user", ofUser,
        "the daemon keeps \(users[user].storedBytes) bytes of payload for this user, \(ofUser) are the most")
    }
    guard let refusal else { return true }
    refuse(frame.header, to: slot, refusal, called, into: &actions)
    return false
  }
}
