import HostcallWire

/// The whole of what the bridge knows, for the process that takes its place.
///
/// Peers, calls, names and registrations keep their places and ids; limits and policy are those of the process that reads.
/// Peers of the process itself are left out: whoever takes over has its own. Nothing is in the middle of something: the
/// bridge has been told of everything that has come, and its actions have been carried out.
extension Bridge {
  /// Grows with every change of what is written.
  package static let stateVersion: UInt32 = 1

  /// Whether another process could take over: the daemon takes calls, and this process itself neither waits for one nor
  /// runs one.
  package var canBeHandedOver: Bool {
    phase == .running
      && peers.all.allSatisfy { slot in
        !peers[slot].isLocal
          || peers[slot].calls.count == 0 && peers[slot].work.count == 0 && peers[slot].subscriptions.isEmpty
      }
  }

  /// Peers that are other processes.
  package var remotePeers: [PeerID] { peers.all.filter { !peers[$0].isLocal }.map { peers[$0].id } }

  /// Who a peer is, nil where it is not there or is this process.
  package func remoteIdentity(of peer: PeerID) -> PeerIdentity? {
    peers.has(peer) && !peers[peer.slot].isLocal ? peers[peer.slot].identity : nil
  }

  /// Writes the state, or reads it into a bridge that has no peer yet.
  ///
  /// A bridge that has been read needs ``setPolicy(_:now:into:)`` before anything else.
  package mutating func code(_ coder: inout StateCoder) throws(StateError) {
    precondition(!coder.isReading || peers.count == 0, "a bridge that has peers takes no state over")
    var instance = identity.instance
    try coder.code(&instance)
    identity = DaemonIdentity(server: identity.server, instance: instance)
    try coder.code(&startedNanoseconds)
    try coder.code(&sessions)
    try coder.code(&publications)
    try coder.code(&livenessCheckMilliseconds)
    try statistics.code(&coder)
    try users.code(&coder)
    let (locals, localRegistrations) = localParts()
    try registrations.code(&coder, leavingOut: locals)
    try functions.code(&coder, leavingOut: localRegistrations)
    try calls.code(&coder, functions: functions.records.count)
    try deadlines.codeTime(&coder)
    try codeActiveCalls(&coder)
    try peers.code(&coder, functions: functions.records.count, users: users.records.count)
    try codeLists(&coder)
    if coder.isReading { try indexWhatWasRead() }
  }

  /// The peers of this process, and their registrations with the functions that these are of.
  private func localParts() -> (peers: Set<PeerID>, registrations: [Slot: Slot]) {
    let locals = peers.all.filter { peers[$0].isLocal }
    let registrations = locals.flatMap { peers[$0].registrations.values }
    return (
      Set(locals.map { peers[$0].id }),
      Dictionary(uniqueKeysWithValues: registrations.map { ($0, self.registrations[$0].function) })
    )
  }

  /// Deadlines, streams, kept bodies and orphans of calls that have not ended.
  private mutating func codeActiveCalls(_ coder: inout StateCoder) throws(StateError) {
    for slot in calls.slots where calls[slot].pointee.state != .free {
      let call = calls[slot]
      var deadline = deadlines.deadlineMilliseconds(of: slot)
      try coder.code(&deadline)
      if coder.isReading, let deadline { deadlines.set(slot, deadlineMilliseconds: deadline) }
      var hasStream = call.pointee.stream != .none
      try coder.code(&hasStream)
      if hasStream {
        if coder.isReading { call.pointee.stream = streams.allocate() }
        try streams[call.pointee.stream].code(&coder)
      }
      try calls.codeBody(of: call, &coder)
      var orphan = orphans[slot]
      var isOrphan = orphan != nil
      try coder.code(&isOrphan)
      if isOrphan {
        var identity = orphan?.identity ?? PeerIdentity(userID: 0, groupID: 0, processID: 0)
        var session = orphan?.session ?? 0
        try identity.code(&coder)
        try coder.code(&session)
        orphan = Orphan(identity: identity, session: session)
        if coder.isReading { orphans[slot] = orphan }
      }
    }
  }

  /// The lists that calls stand in, in their order: of callers, of workers, and the queues of functions.
  private mutating func codeLists(_ coder: inout StateCoder) throws(StateError) {
    for slot in peers.all where !peers[slot].isLocal {
      try calls.code(&peers[slot].calls, \.callerLink, &coder)
      try calls.code(&peers[slot].work, \.placeLink, &coder)
    }
    var queued = functions.withQueue
    try coder.code(&queued, of: 0) { (coder, function) throws(StateError) in
      try coder.code(&function, below: functions.records.count)
      guard function != .none else { throw StateError("calls stand in the queue of no function") }
      try calls.code(&functions[function].queue, \.placeLink, &coder)
      functions.queueChanged(function)
    }
  }

  /// What follows from the rest, and is not written.
  private mutating func indexWhatWasRead() throws(StateError) {
    // Whether silence counts is a matter of the limits that hold now.
    if limits.livenessMilliseconds == 0 { livenessCheckMilliseconds = nil }
    if limits.livenessMilliseconds > 0, livenessCheckMilliseconds == nil, calls.active > 0 {
      livenessCheckMilliseconds = 0
    }
    for slot in calls.slots {
      let call = calls[slot].pointee
      guard call.state == .queued || call.state == .running else { continue }
      outstanding += 1
      guard call.caller != .nobody else { continue }
      guard peers.has(call.caller) else { throw StateError("a call is of a caller that is not there") }
      if !call.flags.has(.noReply) {
        requests.insert(caller: call.caller.slot, request: call.request, call: slot)
      }
    }
    for place in registrations.records.indices where registrations.records[place].worker != .nobody {
      let record = registrations.records[place]
      guard peers.has(record.worker) else { throw StateError("a registration is of a worker that is not there") }
      if record.isActive { peers[record.worker.slot].registrations[record.handle] = record.slot }
    }
    let waiting = peers.all.filter { peers[$0].state == .awaitingHello }
    for slot in waiting.sorted(by: { peers[$0].connectedNanoseconds < peers[$1].connectedNanoseconds }) {
      hellos.append(
        peers[slot].id,
        milliseconds: Self.milliseconds(peers[slot].connectedNanoseconds) + UInt64(limits.helloMilliseconds))
    }
  }
}

extension PeerIdentity {
  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    var (userID, groupID, groupIDs, processID) = (userID, groupID, groupIDs, processID)
    try coder.code(&userID)
    try coder.code(&groupID)
    try coder.code(&groupIDs, of: 0) { (coder, group) throws(StateError) in try coder.code(&group) }
    try coder.code(&processID)
    self = PeerIdentity(userID: userID, groupID: groupID, groupIDs: groupIDs, processID: processID)
  }
}

extension PeerID {
  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    var (slot, generation) = (slot, generation)
    try coder.code(&slot)
    try coder.code(&generation)
    self = PeerID(slot: slot, generation: generation)
  }
}

extension Statistics {
  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    try coder.code(&callsAccepted)
    try coder.code(&callsRefused)
    try coder.code(numbers: &outcomes)
    try coder.code(&callsSentAgain)
    try coder.code(&completionsRejected)
    try coder.code(&protocolErrors)
    try coder.code(&policyDenials)
    try coder.code(&peersConnected)
    try coder.code(&eventsPublished)
    try coder.code(&eventsDropped)
  }
}

extension StoredBody {
  /// All of its bytes, in one piece.
  var allBytes: [UInt8] {
    guard let large else { return Array(bytes) }
    return large.runs(from: large.count - byteCount, byteCount: byteCount).flatMap { Array($0) }
  }

  /// Writes a body, or reads one; a large one comes back in one piece.
  static func code(_ body: inout StoredBody?, _ coder: inout StateCoder) throws(StateError) {
    var bytes = body?.allBytes ?? []
    try coder.code(&bytes)
    var descriptors = body?.descriptors
    try coder.code(&descriptors)
    if coder.isReading { body = bytes.withUnsafeBytes { StoredBody(copying: $0, descriptors: descriptors) } }
  }
}
