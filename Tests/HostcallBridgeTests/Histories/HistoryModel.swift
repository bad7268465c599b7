import HostcallWire

@testable import HostcallBridge

/// A rule that a history broke.
struct HistoryViolation: Error, CustomStringConvertible {
  let description: String
}

/// What the bridge must do, told again from the protocol's text with dictionaries and arrays: no code of the bridge's.
///
/// Where the protocol leaves a choice (which of several least loaded workers, which of several reasons to refuse), the
/// model takes what the bridge chose after it has checked that it may.
final class HistoryModel {
  enum PeerState {
    case greeting, open, leaving, closing, gone
  }

  struct Peer {
    var id: PeerID
    var state: PeerState
    var isLocal = false
    var isBacklogged = false
    /// Bytes of all frames sent to it, and how many of them had left when the bridge was last told.
    var streamBytes = 0
    var sentBytes = 0
    var userID: UInt32
    var session: UInt64?
    var helloDeadline: UInt64 = .max
    var bound: [UInt32: String] = [:]
    /// Registrations that take calls, by handle; and all handles ever given out.
    var registrations: [UInt32: Int] = [:]
    var handlesGiven: Set<UInt32> = []
    /// Registrations that policy has put to sleep, by handle.
    var sleeping: [UInt32: Int] = [:]
    /// Calls that hold a place with it, in the order in which they were sent.
    var work: [Int] = []
    /// Requests that are outstanding.
    var requests: [UInt64: Int] = [:]
    /// Calls that it waits for, those without a reply among them.
    var callsInFlight = 0
    /// Whether it has made a call that was accepted.
    var hasCalled = false
    var subscriptions: Set<String> = []
    /// Events that wait for it to read, how many were for it so far, and how many were dropped since the last one sent.
    var events: [Event] = []
    var lastEvent: UInt64 = 0
    var droppedEvents: UInt32 = 0
  }

  struct Registration {
    let peer: Int
    let name: String
    let handle: UInt32
    let concurrency: Int
    let timeout: UInt32
    let isExclusive: Bool
    let isIdempotent: Bool
    let wantsCaller: Bool
    var isActive = true
    var held = 0
  }

  enum CallState {
    case queued, running, abandoned, ended
  }

  struct Call {
    let caller: Int
    let request: UInt64
    let name: String
    let flags: FrameFlags
    let payload: [UInt8]
    let metadata: Metadata
    let encoding: PayloadEncoding
    /// Milliseconds; the caller's, and what holds now.
    let deadline: UInt64
    var due: UInt64
    var state = CallState.queued
    var worker: Int?
    var registration = -1
    var attempts = 0
    var losses = 0
    var correlation: UInt64?
    var invokeEnd = 0
    /// Whether the bridge keeps its metadata and payload.
    var isStored = false
    /// Whether it goes on although its caller has gone: nobody waits for its RESULT.
    var isOrphan = false
    /// Whether its worker held it for too long after its end.
    var wasReleased = false
    /// Its items: whether there are any from the worker, both ways, and whether a worker may still be exchanged.
    let wantsItems: Bool
    var results = Flow()
    var arguments = Flow()
    var argumentsHaveEnded = false
    var hasBegun = false
    var outcomes = 0
    /// How many calls may have ended before it, and itself: in which order the calls of one step end is not said.
    var endedPlace = 0

    var storedBytes: Int { payload.count + metadata.encodedBytes }
    func has(_ flag: FrameFlags) -> Bool { flags.rawValue & flag.rawValue != 0 }
  }

  enum Phase: Equatable {
    case running, draining(untilMilliseconds: UInt64), drained
  }

  let limits: Limits
  var policy = Policy()
  /// Nanoseconds.
  var now: UInt64
  var phase = Phase.running
  var peers: [Peer] = []
  var places: [PeerID: Int] = [:]
  var registrations: [Registration] = []
  var calls: [Call] = []
  /// Calls that are queued, running or abandoned, in the order in which they came.
  var active: [Int] = []
  var byCorrelation: [UInt64: Int] = [:]
  /// Registrations that take calls, by name, in the order in which they came.
  var workers: [String: [Int]] = [:]
  var storedBytes = 0
  var endedCalls = 0
  /// As it was when the step began.
  var endedBeforeStep = 0
  var outstanding = 0
  /// Calls that lost their worker in this step and are to be sent again.
  var again: [Int] = []
  /// What the bridge sent in this step, and what it has to send apart from INVOKEs.
  var frames: [SentFrame] = []
  var expected: [ExpectedFrame] = []
  private var servedBy: [String: String?] = [:]

  init(limits: Limits, now: UInt64) {
    self.limits = limits
    self.now = now
  }

  var nowMilliseconds: UInt64 { (now + 999_999) / 1_000_000 }

  // MARK: What a name means

  func isLive(_ peer: Int) -> Bool { peers[peer].state == .open || peers[peer].state == .leaving }

  func isPattern(_ name: String) -> Bool { name.utf8.last == UInt8(ascii: "*") }

  /// The name or pattern whose workers take calls of a name.
  func serving(_ name: String) -> String? {
    if let known = servedBy[name] { return known }
    var best: String? = workers[name] == nil ? nil : name
    if best == nil, !name.hasPrefix("hostcall.") {
      for pattern in workers.keys where isPattern(pattern) && name.hasPrefix(pattern.dropLast()) {
        if pattern.utf8.count > best?.utf8.count ?? 0 { best = pattern }
      }
    }
    servedBy[name] = .some(best)
    return best
  }

  func workersChanged(_ name: String, _ list: [Int]) {
    workers[name] = list.isEmpty ? nil : list
    servedBy = [:]
  }

  /// Where a call of the name waits.
  func queueName(_ name: String) -> String { serving(name) ?? name }

  /// The waiting calls of each queue, in the order in which they came.
  func queues() -> [String: [Int]] {
    var queues: [String: [Int]] = [:]
    for call in active where calls[call].state == .queued {
      queues[queueName(calls[call].name), default: []].append(call)
    }
    return queues
  }

  func queue(_ name: String) -> [Int] {
    active.filter { calls[$0].state == .queued && queueName(calls[$0].name) == name }
  }

  func canTake(_ registration: Int) -> Bool {
    let peer = peers[registrations[registration].peer]
    return registrations[registration].isActive
      && registrations[registration].held < registrations[registration].concurrency
      && peer.state == .open && !peer.isBacklogged
      && (peer.isLocal || peer.streamBytes - peer.sentBytes <= limits.outputBytesPerConnection)
      && (peer.isLocal || ofUser(registrations[registration].peer, \.work.count) < limits.runningCallsPerUser)
  }

  /// What all peers of the same user have, but for those of this process.
  func ofUser(_ peer: Int, _ part: (Peer) -> Int) -> Int {
    let userID = peers[peer].userID
    return peers.reduce(0) { $0 + ($1.state != .gone && !$1.isLocal && $1.userID == userID ? part($1) : 0) }
  }

  /// Calls of a peer's user that some state holds for, also those whose caller has gone.
  func callsOfUser(_ peer: Int, _ isMeant: (Call) -> Bool) -> [Int] {
    active.filter { call in
      let caller = peers[calls[call].caller]
      return !caller.isLocal && caller.userID == peers[peer].userID && isMeant(calls[call])
    }
  }

  func storedBytesOfUser(_ peer: Int) -> Int {
    callsOfUser(peer, \.isStored).reduce(0) { $0 + calls[$1].storedBytes }
  }

  /// Whether a body of this size cannot be kept for a call of this peer.
  func cannotStore(_ bytes: Int, for peer: Int) -> Bool {
    storedBytes + bytes > limits.storedPayloadBytes
      || !peers[peer].isLocal && storedBytesOfUser(peer) + bytes > limits.storedPayloadBytesPerUser
  }

  /// Those that may get the next call of a queue: least loaded among those with a free place.
  func candidates(_ name: String) -> [Int] {
    let free = (workers[name] ?? []).filter(canTake)
    let least = free.map { peers[registrations[$0].peer].work.count }.min()
    return free.filter { peers[registrations[$0].peer].work.count == least }
  }

  /// Names that somebody has registered, has bound or waits for.
  func knownNames() -> Set<String> {
    var names: Set<String> = []
    for registration in registrations where registration.isActive || registration.held > 0 {
      names.insert(registration.name)
    }
    for peer in peers where peer.state != .gone {
      names.formUnion(peer.bound.values)
      names.formUnion(peer.subscriptions)
      names.formUnion(peer.sleeping.values.map { registrations[$0].name })
    }
    for call in active { names.insert(calls[call].name) }
    return names
  }

  // MARK: Ends

  func setStored(_ call: Int, _ isStored: Bool) {
    if calls[call].isStored == isStored { return }
    calls[call].isStored = isStored
    storedBytes += isStored ? calls[call].storedBytes : -calls[call].storedBytes
  }

  /// The call has its outcome; its caller is told by whoever calls this.
  func settleOutcome(_ call: Int) {
    let caller = calls[call].caller
    calls[call].outcomes += 1
    if !calls[call].isOrphan { peers[caller].callsInFlight -= 1 }
    if !calls[call].has(.noReply) { peers[caller].requests[calls[call].request] = nil }
    outstanding -= 1
  }

  /// The call holds nothing any more.
  func forget(_ call: Int) {
    setStored(call, false)
    calls[call].state = .ended
    endedCalls += 1
    calls[call].endedPlace = endedBeforeStep + 1
    active.removeAll { $0 == call }
  }

  func leavePlace(_ call: Int) {
    registrations[calls[call].registration].held -= 1
    peers[registrations[calls[call].registration].peer].work.removeAll { $0 == call }
  }

  /// The daemon ends a queued or running call.
  func end(_ call: Int, _ status: Status, tellsCaller: Bool = true) {
    if tellsCaller { expectResult(of: call, status) }
    settleOutcome(call)
    if calls[call].state == .queued { return forget(call) }
    let worker = registrations[calls[call].registration].peer
    expect(ExpectedFrame(peer: worker, kind: .cancel, statuses: [status], id: calls[call].correlation ?? 0))
    calls[call].state = .abandoned
    calls[call].due = limits.abandonedMilliseconds == 0 ? .max : nowMilliseconds + UInt64(limits.abandonedMilliseconds)
    setStored(call, false)
  }

  func violate(_ peer: Int) {
    expect(ExpectedFrame(peer: peer, kind: .goaway, statuses: [.protocolViolation], id: 0, text: .sentence))
    peers[peer].state = .closing
  }
}
