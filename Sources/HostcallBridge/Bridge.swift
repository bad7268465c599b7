package import HostcallWire

/// Who the daemon is, as it tells its peers.
package struct DaemonIdentity: Sendable {
  /// `name/version`.
  package let server: String
  /// 32 hexadecimal digits, new for each run.
  package let instance: String

  package init(server: String, instance: String) {
    self.server = server
    self.instance = instance
  }
}

/// The rules of Hostcall without any I/O (protocol sections 3, 4 and 7).
///
/// It takes facts: a peer connected, a frame arrived, it is now so late, a peer is gone. It appends actions to a buffer
/// that the caller owns. Time, ids and randomness come in as arguments, so that a test can state a history and compare
/// the actions. All times are nanoseconds of one monotonic clock.
///
/// It belongs to one thread, the daemon's loop.
package struct Bridge: ~Copyable {
  /// How far the daemon's end has come.
  ///
  /// - `running`: takes calls. To `draining`.
  /// - `draining`: refuses new calls and waits for those that run. To `drained` when there are none, or when its time
  ///   is over.
  /// - `drained`: no call is left.
  enum Phase: Equatable {
    case running
    case draining(untilMilliseconds: UInt64)
    case drained
  }

  /// The caller of a NO_REPLY call, which has gone.
  struct Orphan {
    let identity: PeerIdentity
    let session: UInt64
  }

  package let limits: Limits
  var identity: DaemonIdentity
  var startedNanoseconds: UInt64
  var phase = Phase.running
  var peers = PeerTable()
  var users: UserTable
  var functions = FunctionTable()
  var registrations = RegistrationTable()
  var policies: PolicyTable
  var calls: CallTable
  var requests: RequestIndex
  var deadlines: DeadlineWheel
  var streams = StreamTable()
  var hellos = HelloQueue()
  var due: [Slot] = []
  /// Who made the NO_REPLY calls whose caller has gone: they go on without it.
  var orphans: [Slot: Orphan] = [:]
  var sessions: UInt64 = 0
  /// When to look next who is silent; nil where there are no calls.
  var livenessCheckMilliseconds: UInt64?
  /// Events published so far.
  var publications: UInt64 = 0
  var localPeers = 0
  /// Accepted calls without an outcome.
  var outstanding = 0
  var statistics = Statistics()
  /// Workers that calls have begun to wait for, and those that cannot be had for a while, by their places.
  var wantedWorkers: Set<UInt32> = []
  var unavailableWorkers: Set<UInt32> = []
  /// Whether each step of each call is told of, see ``CallNotice``.
  package var tracesCalls = false

  /// A bridge without peers.
  ///
  /// - Parameters:
  ///   - limits: what must not be exceeded.
  ///   - limitsByUser: the same for users for whom others hold, by their number.
  ///   - policy: who may do what.
  ///   - identity: what WELCOME tells.
  ///   - secret: a random number, new for each run, that keeps peers from choosing ids which collide.
  ///   - now: nanoseconds.
  package init(
    limits: Limits, limitsByUser: [UInt32: Limits] = [:], policy: Policy = Policy(), identity: DaemonIdentity,
    secret: UInt64, now: UInt64
  ) {
    self.limits = limits
    policies = PolicyTable(policy)
    self.identity = identity
    users = UserTable(limits: limits, limitsByUser: limitsByUser)
    startedNanoseconds = now
    calls = CallTable(callsInFlight: limits.callsInFlight, remembered: limits.rememberedOutcomes)
    requests = RequestIndex(secret: secret)
    deadlines = DeadlineWheel(nowMilliseconds: now / 1_000_000)
  }

  // MARK: Facts

  /// A peer connected.
  ///
  /// - Parameters:
  ///   - isLocal: whether it is this process itself; then it is open at once and is told nothing.
  ///   - isReserved: whether it may come whatever limits on connections are met.
  package mutating func peerConnected(
    _ peerIdentity: PeerIdentity, isLocal: Bool = false, isReserved: Bool = false, client: String = "",
    takesDescriptors: Bool = false,
    now: UInt64
  ) throws(ConnectionRefusal) -> PeerID {
    let user = isLocal ? UserTable.local : users.findOrInsert(peerIdentity.userID, now: now)
    try mayConnect(peerIdentity, user: user, isUnlimited: isLocal || isReserved, now: now)
    let slot = peers.allocate()
    users[user].connections += 1
    peers[slot].user = user
    peers[slot].heardNanoseconds = now
    sessions += 1
    peers[slot].session = sessions
    peers[slot].identity = peerIdentity
    peers[slot].isLocal = isLocal
    if !isLocal { peers[slot].policyForm = policies.retainForm(for: peerIdentity) }
    peers[slot].client = client
    peers[slot].takesDescriptors = takesDescriptors
    peers[slot].connectedNanoseconds = now
    peers[slot].state = isLocal ? .open : .awaitingHello
    statistics.peersConnected += 1
    if isLocal {
      localPeers += 1
    } else {
      hellos.append(peers[slot].id, milliseconds: Self.milliseconds(now) + UInt64(limits.helloMilliseconds))
    }
    return peers[slot].id
  }

  private mutating func mayConnect(
    _ identity: PeerIdentity, user: Slot, isUnlimited: Bool, now: UInt64
  ) throws(ConnectionRefusal) {
    guard phase == .running else {
      throw ConnectionRefusal(status: .shuttingDown, reason: "the daemon is shutting down", notice: nil)
    }
    if isUnlimited { return }
    func refusal(_ limit: String, _ value: Int, _ reason: String) -> ConnectionRefusal {
      ConnectionRefusal(
        status: .overloaded, reason: "\(reason) (\(limit))",
        notice: LimitNotice(identity: identity, limit: limit, value: value))
    }
    guard peers.count - localPeers < limits.connections else {
      throw refusal(
        "connections", limits.connections, "the daemon has \(limits.connections) connections, the most it may have")
    }
    let own = users[user].limits
    guard users[user].connections < own.connectionsPerUser else {
      throw refusal(
        "connections-per-user", own.connectionsPerUser,
        "this user has \(own.connectionsPerUser) connections, the most it may have")
    }
    guard users[user].payForConnection(now: now) else {
      throw refusal(
        "connections-per-second-per-user", own.connectionsPerSecondPerUser,
        "this user connects more often than \(own.connectionsPerSecondPerUser) times a second, the most it may")
    }
  }

  /// The limits that hold for a peer.
  package func limits(of peer: PeerID) -> Limits {
    users[peers[peer.slot].user].limits
  }

  /// Bytes that are held of a frame from the peer whose end has not come. The shell says so after a read that has changed it.
  package mutating func peerKeeps(_ peer: PeerID, inputBytes: Int, into actions: inout ActionBuffer) {
    guard peers.has(peer) else { return }
    let user = peers[peer.slot].user
    let change = inputBytes - peers[peer.slot].inputBytes
    peers[peer.slot].inputBytes = inputBytes
    users[user].inputBytes += change
    let limit = users[user].limits.inputBytesPerUser
    guard change > 0, users[user].inputBytes > limit, peers[peer.slot].state != .closing else { return }
    notify("input-bytes-per-user", limit, slot: peer.slot, into: &actions)
    close(
      peer.slot, .overloaded,
      "more than \(limit) bytes of this user's frames have not come whole (input-bytes-per-user)",
      into: &actions)
  }

  /// A frame arrived that keeps the rules which a single frame can break; the decoder has seen to that.
  package mutating func received(
    _ frame: DecodedFrame, descriptors: (any FrameDescriptors)? = nil, from peer: PeerID, now: UInt64,
    into actions: inout ActionBuffer
  ) {
    guard let record = peers.find(peer), record.pointee.state != .gone, record.pointee.state != .closing else { return }
    let slot = peer.slot
    if record.pointee.state == .awaitingHello {
      guard frame.kind == .hello, !frame.isTooLarge else {
        return violate(slot, "\(frame.kind) came before HELLO", into: &actions)
      }
      return hello(frame, from: slot, into: &actions)
    }
    if frame.kind.isAnsweredByResult, record.pointee.calls.count > 0, frame.header.id != 0,
      requests.find(caller: slot, request: frame.header.id) != nil
    {
      return violate(slot, "\(frame.kind) has the request id \(frame.header.id), which is outstanding", into: &actions)
    }
    if descriptors != nil || frame.header.flags.has(.descriptors) {
      guard checkDescriptors(frame, descriptors, from: slot, into: &actions) else { return }
    }
    if frame.isTooLarge { return tooLarge(frame, from: slot, now: now, into: &actions) }
    switch frame.kind {
    case .call: call(frame, descriptors, from: slot, now: now, into: &actions)
    case .complete: complete(frame, descriptors, from: slot, now: now, into: &actions)
    case .cancel: cancel(frame.header.id, from: slot, now: now, into: &actions)
    case .register: register(frame, from: slot, now: now, into: &actions)
    case .unregister: unregister(frame, from: slot, now: now, into: &actions)
    case .bind: bind(frame, from: slot, into: &actions)
    case .ping: pong(frame, to: slot, into: &actions)
    case .pong: break
    case .goaway: leave(slot, now: now, into: &actions)
    case .hello: violate(slot, "a second HELLO came", into: &actions)
    case .item: item(frame, from: slot, into: &actions)
    case .credit: credit(frame, from: slot, into: &actions)
    case .subscribe: subscribe(frame, from: slot, into: &actions)
    case .unsubscribe: unsubscribe(frame, from: slot, into: &actions)
    case .publish: publish(frame, from: slot, into: &actions)
    case .welcome, .result, .invoke, .rejected, .event:
      preconditionFailure("the decoder let a \(frame.kind) from a peer through")
    }
  }

  /// A peer sent what no peer may send; what it sent after that is not looked at.
  package mutating func peerBrokeProtocol(
    _ peer: PeerID, _ violation: ProtocolViolation, into actions: inout ActionBuffer
  ) {
    guard peers.has(peer), peers[peer.slot].state != .closing else { return }
    violate(peer.slot, violation.reason, into: &actions)
  }

  /// So many of all bytes sent to the peer have left the daemon. The shell says so after each write.
  package mutating func peerHasTaken(
    _ peer: PeerID, sentBytes: UInt64, now: UInt64, into actions: inout ActionBuffer
  ) {
    guard let record = peers.find(peer), record.pointee.state != .gone else { return }
    let user = users.pointer(to: record.pointee.user)
    let wasFull = Self.isFull(record, user)
    if sentBytes > record.pointee.sentBytes { record.pointee.heardNanoseconds = now }
    record.pointee.sentBytes = sentBytes
    chargeOutput(of: peer.slot, into: &actions)
    if wasFull, !Self.isFull(record, user), !record.pointee.isBacklogged {
      takeUp(peer.slot, now: now, into: &actions)
    }
  }

  /// Charges what waits to be read by the peer to its user. A connection that takes the user past its limit is closed.
  private mutating func chargeOutput(of slot: Slot, into actions: inout ActionBuffer) {
    let unsent = peers[slot].isLocal ? 0 : Int(peers[slot].outputPosition - peers[slot].sentBytes)
    guard unsent != peers[slot].chargedOutputBytes else { return }
    let user = peers[slot].user
    let change = unsent - peers[slot].chargedOutputBytes
    peers[slot].chargedOutputBytes = unsent
    users[user].outputBytes += change
    let limit = users[user].limits.outputBytesPerUser
    guard change > 0, users[user].outputBytes > limit, peers[slot].state != .closing else { return }
    notify("output-bytes-per-user", limit, slot: slot, into: &actions)
    close(
      slot, .overloaded, "more than \(limit) bytes wait to be read by this user's connections (output-bytes-per-user)",
      into: &actions)
  }

  /// Too much waits to be read by the peer: nothing is dispatched to it until it can take more.
  package mutating func peerIsBacklogged(_ peer: PeerID) {
    guard peers.has(peer) else { return }
    peers[peer.slot].isBacklogged = true
  }

  /// The peer has read enough: calls may be dispatched to it again.
  package mutating func peerCanTakeMore(_ peer: PeerID, now: UInt64, into actions: inout ActionBuffer) {
    guard peers.has(peer), peers[peer.slot].isBacklogged else { return }
    peers[peer.slot].isBacklogged = false
    takeUp(peer.slot, now: now, into: &actions)
  }

  /// A peer reads again: what was kept from it goes on.
  private mutating func takeUp(_ slot: Slot, now: UInt64, into actions: inout ActionBuffer) {
    passHeldCredit(for: slot, into: &actions)
    sendWaitingEvents(to: slot, into: &actions)
    serveQueues(now: now, into: &actions)
  }

  /// Places are free that any function may have.
  mutating func serveQueues(now: UInt64, into actions: inout ActionBuffer) {
    for function in functions.withQueue {
      serveQueue(function, now: now, into: &actions)
    }
  }

  /// Whether the peer holds calls that it has to complete.
  package func isWorking(_ peer: PeerID) -> Bool {
    peers.has(peer) && peers[peer.slot].work.count > 0
  }

  /// A peer reads nothing although more waits for it than the limit allows: it is closed.
  package mutating func peerIsStuck(_ peer: PeerID, into actions: inout ActionBuffer) {
    guard peers.has(peer), peers[peer.slot].state != .closing else { return }
    let limit = limits(of: peer).outputBytesBeforeClose
    notify("output-bytes-before-close", limit, slot: peer.slot, into: &actions)
    close(
      peer.slot, .overloaded, "more than \(limit) bytes wait to be read (output-bytes-before-close)", into: &actions)
  }

  /// Time has passed; call it when ``nextWakeMilliseconds()`` is reached.
  package mutating func hitTime(now: UInt64, into actions: inout ActionBuffer) {
    let milliseconds = now / 1_000_000
    due.removeAll(keepingCapacity: true)
    deadlines.advance(to: milliseconds, &due)
    for slot in due { hitDeadline(calls[slot], now: now, into: &actions) }
    while let first = firstAwaitingHello(), first.milliseconds <= milliseconds {
      violate(first.peer.slot, "no HELLO within \(limits.helloMilliseconds) ms", into: &actions)
    }
    if let check = livenessCheckMilliseconds, check <= milliseconds { checkLiveness(now: now, into: &actions) }
    if case .draining(let until) = phase, until <= milliseconds { endGrace(now: now, into: &actions) }
  }

  /// Milliseconds of the same clock at which ``hitTime(now:into:)`` is wanted, nil where there is nothing to wait for.
  package mutating func nextWakeMilliseconds() -> UInt64? {
    var wake = deadlines.nextMilliseconds ?? .max
    if let hello = firstAwaitingHello() { wake = min(wake, hello.milliseconds) }
    if let check = livenessCheckMilliseconds { wake = min(wake, check) }
    if case .draining(let until) = phase { wake = min(wake, until) }
    return wake == .max ? nil : wake
  }

  /// Who waits longest to say HELLO; those before it that have said it, or that are gone, are forgotten.
  private mutating func firstAwaitingHello() -> (peer: PeerID, milliseconds: UInt64)? {
    while let first = hellos.first {
      if peers.has(first.peer), peers[first.peer.slot].state == .awaitingHello { return first }
      hellos.removeFirst()
    }
    return nil
  }

  // MARK: Sending

  /// Milliseconds of the clock, rounded up: a deadline never comes early.
  static func milliseconds(_ nanoseconds: UInt64) -> UInt64 {
    (nanoseconds + 999_999) / 1_000_000
  }

  /// Sends a frame whose body is `prefix` out of the buffer's bytes, from `prefixStart` to their end, and then a part of
  /// `source`. The header's sizes of name and metadata must be right; that of the body is filled in.
  mutating func send(
    _ header: FrameHeader, to slot: Slot, prefixStart: Int, source: OutgoingFrame.Source = .incoming,
    sourceStart: Int = 0, sourceBytes: Int = 0, descriptors: (any FrameDescriptors)? = nil,
    into actions: inout ActionBuffer
  ) {
    send(
      header, to: peers.pointer(to: slot), prefixStart: prefixStart, source: source, sourceStart: sourceStart,
      sourceBytes: sourceBytes, descriptors: descriptors, into: &actions)
  }

  @inline(__always)
  mutating func send(
    _ header: FrameHeader, to peer: Peer, prefixStart: Int, source: OutgoingFrame.Source = .incoming,
    sourceStart: Int = 0, sourceBytes: Int = 0, descriptors: (any FrameDescriptors)? = nil,
    into actions: inout ActionBuffer
  ) {
    guard peer.pointee.state != .closing, peer.pointee.state != .gone else { return }
    var header = header
    let prefixBytes = actions.end &- prefixStart
    header.bodyBytes = UInt32(truncatingIfNeeded: prefixBytes &+ sourceBytes)
    peer.pointee.outputPosition &+= UInt64(truncatingIfNeeded: header.frameBytes)
    actions.append(
      OutgoingFrame(
        peer: peer.pointee.id, header: header, prefixStart: UInt32(truncatingIfNeeded: prefixStart),
        prefixBytes: UInt32(truncatingIfNeeded: prefixBytes), source: source,
        sourceStart: UInt32(truncatingIfNeeded: sourceStart), sourceBytes: UInt32(truncatingIfNeeded: sourceBytes),
        descriptors: descriptors == nil ? .none : actions.keep(descriptors)))
  }

  /// Sends a frame with a sentence for people, or nothing, as its body.
  mutating func send(_ header: FrameHeader, to slot: Slot, text: String = "", into actions: inout ActionBuffer) {
    let start = actions.end
    actions.write(text)
    send(header, to: slot, prefixStart: start, into: &actions)
  }

  /// Answers a request that was not accepted.
  mutating func refuse(
    _ request: FrameHeader, to slot: Slot, _ status: Status, _ reason: String,
    into actions: inout ActionBuffer
  ) {
    if request.kindByte == FrameKind.call.rawValue {
      statistics.callsRefused += 1
      if request.flags.has(.noReply) { return }
    }
    send(FrameHeader(kind: .result, status: status, id: request.id), to: slot, text: reason, into: &actions)
  }

  /// Refuses a request because of a limit, and tells of it.
  mutating func refuse(
    _ request: FrameHeader, to slot: Slot, meeting limit: StaticString, of value: Int, _ reason: String,
    into actions: inout ActionBuffer
  ) {
    notify(limit, value, slot: slot, into: &actions)
    refuse(request, to: slot, .overloaded, "\(reason) (\(limit))", into: &actions)
  }

  /// Somebody has met a limit: the log is to say so.
  mutating func notify(_ limit: StaticString, _ value: Int, slot: Slot, into actions: inout ActionBuffer) {
    actions.tell(LimitNotice(identity: peers[slot].identity, limit: "\(limit)", value: value))
  }

  /// Tells a peer why it must go and has it closed.
  mutating func close(_ slot: Slot, _ status: Status, _ reason: String, into actions: inout ActionBuffer) {
    send(FrameHeader(kind: .goaway, status: status), to: slot, text: reason, into: &actions)
    peers[slot].state = .closing
    actions.close(peers[slot].id)
  }

  mutating func violate(_ slot: Slot, _ reason: String, into actions: inout ActionBuffer) {
    statistics.protocolErrors += 1
    close(slot, .protocolViolation, reason, into: &actions)
  }
}
