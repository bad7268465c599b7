import HostcallWire

/// Where a peer stands.
///
/// - `awaitingHello`: connected. To `open` by HELLO, to `closing`.
/// - `open`: may do everything. To `leaving` by its GOAWAY, to `closing`.
/// - `leaving`: gets no more INVOKEs, finishes what it has. To `closing`.
/// - `closing`: the shell was told to close it; nothing from it counts any more. To `gone` when the shell says so.
/// - `gone`: the place is free.
enum PeerState: UInt8, BitwiseCopyable {
  case awaitingHello
  case open
  case leaving
  case closing
  case gone
}

typealias Peer = UnsafeMutablePointer<PeerRecord>

/// One connection, or the program that embeds the daemon, or the daemon's own functions.
struct PeerRecord {
  var id = PeerID.nobody
  var state = PeerState.gone
  /// Of this process: no HELLO, no limits of output, may register the daemon's own names.
  var isLocal = false
  /// Whether too much waits to be read by it, so that no call is dispatched to it.
  var isBacklogged = false
  var session: UInt64 = 0
  /// Whom it is charged to.
  var user: Slot = UserTable.local
  /// When it last sent or read something.
  var heardNanoseconds: UInt64 = 0
  /// When it was pinged, 0 where no PING waits for an answer.
  var pingedNanoseconds: UInt64 = 0
  var identity = PeerIdentity(userID: 0, groupID: 0, processID: 0)
  var client = ""
  var connectedNanoseconds: UInt64 = 0
  /// Bytes of all frames ever sent to it.
  var outputPosition: UInt64 = 0
  /// How many of them had left when the shell last said so.
  var sentBytes: UInt64 = 0
  /// How much of what waits to be read by it is charged to its user.
  var chargedOutputBytes = 0
  /// Bytes of a frame from it whose end has not come.
  var inputBytes = 0
  /// Calls of it that wait for a place or a worker.
  var queuedCalls = 0
  /// Calls that it waits for, and calls that hold a place with it.
  var calls = CallList()
  var work = CallList()
  /// Where its form is in the policy table.
  var policyForm: Slot = .none
  /// Functions by bound handle, less one, and back.
  var bound: [BoundHandle] = []
  var handles: [Slot: UInt32] = [:]
  /// Registrations by the handle that INVOKE carries.
  var registrations: [UInt32: Slot] = [:]
  var registrationsGiven: UInt32 = 0
  /// Names and patterns whose events it gets, and those that wait for it to read.
  var subscriptions: Set<Slot> = []
  /// Those among them that policy has put to sleep: their events pass it by.
  var sleepingSubscriptions: Set<Slot> = []
  var events = EventQueue()
  /// The last publication that it was counted for, so that it gets each once.
  var lastPublication: UInt64 = 0
  /// Whether descriptors may be passed to it and by it.
  var takesDescriptors = false
  /// Whether it has said HELLO and been told so.
  var hasGreeted = false
  /// Whether it has ever made a call.
  var hasCalled = false
  /// Registrations that policy has put to sleep, by handle.
  var sleeping: [UInt32: SleepingRegistration] = [:]
}

extension PeerRecord {
  mutating func code(_ coder: inout StateCoder, functions: Int, users: Int) throws(StateError) {
    try id.code(&coder)
    try coder.code(&state)
    try coder.code(&isBacklogged)
    try coder.code(&session)
    try coder.code(&user, below: users)
    try coder.code(&heardNanoseconds)
    try coder.code(&pingedNanoseconds)
    try identity.code(&coder)
    try coder.code(&client)
    try coder.code(&connectedNanoseconds)
    try coder.code(&outputPosition)
    try coder.code(&sentBytes)
    try coder.code(&chargedOutputBytes)
    try coder.code(&inputBytes)
    try coder.code(&queuedCalls)
    try coder.code(&registrationsGiven)
    try coder.code(&takesDescriptors)
    try coder.code(&hasGreeted)
    try coder.code(&hasCalled)
    try codeNames(&coder, functions: functions)
    try events.code(&coder)
  }

  /// What it has bound and subscribed to, and its registrations that sleep.
  private mutating func codeNames(_ coder: inout StateCoder, functions: Int) throws(StateError) {
    var names = bound.map(\.function)
    try Self.code(&names, functions: functions, &coder)
    var subscriptions = subscriptions.sorted()
    try Self.code(&subscriptions, functions: functions, &coder)
    var sleepingSubscriptions = sleepingSubscriptions.sorted()
    try Self.code(&sleepingSubscriptions, functions: functions, &coder)
    var sleeping = sleeping.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    try coder.code(&sleeping, of: (0, SleepingRegistration())) { (coder, entry) throws(StateError) in
      try coder.code(&entry.0)
      try entry.1.code(&coder, functions: functions)
    }
    guard coder.isReading else { return }
    // Policy of an epoch that never was: it is asked again.
    bound = names.map { BoundHandle(function: $0, policyEpoch: 0) }
    handles = Dictionary(names.enumerated().map { ($1, UInt32($0 + 1)) }) { first, _ in first }
    self.subscriptions = Set(subscriptions)
    self.sleepingSubscriptions = Set(sleepingSubscriptions)
    self.sleeping = Dictionary(sleeping) { first, _ in first }
  }

  private static func code(_ names: inout [Slot], functions: Int, _ coder: inout StateCoder) throws(StateError) {
    try coder.code(&names, of: 0) { (coder, slot) throws(StateError) in
      try coder.code(&slot, below: functions)
      guard slot != .none else { throw StateError("a name is missing") }
    }
  }
}

/// A name that a peer has bound.
struct BoundHandle: BitwiseCopyable {
  let function: Slot
  /// The ``PolicyTable/epoch`` of the policy that last said yes to calling it.
  var policyEpoch: UInt32
}

/// All peers, by place.
struct PeerTable: ~Copyable {
  private(set) var records = Places<PeerRecord>()
  private var free: [Slot] = []
  private(set) var count = 0
  /// Of the peer that came last: no two of a run have the same until four thousand million have come.
  private var lastGeneration: UInt32 = 0

  subscript(slot: Slot) -> PeerRecord {
    @inline(__always) unsafeAddress { UnsafePointer(records.pointer(to: Int(slot))) }
    @inline(__always) unsafeMutableAddress { records.pointer(to: Int(slot)) }
  }

  /// Where a record is, for several of its fields: it stays there for as long as it is in use.
  @inline(__always)
  func pointer(to slot: Slot) -> UnsafeMutablePointer<PeerRecord> {
    records.pointer(to: Int(slot))
  }

  /// Whether it is still the same peer that has the place.
  func has(_ peer: PeerID) -> Bool {
    state(of: peer) != .gone
  }

  /// Where a peer stands; `gone` where another has its place, or nobody.
  func state(of peer: PeerID) -> PeerState {
    find(peer)?.pointee.state ?? .gone
  }

  /// A peer that is there; nil where another has its place, or nobody.
  @inline(__always)
  func find(_ peer: PeerID) -> Peer? {
    guard Int(peer.slot) < records.count else { return nil }
    let record = pointer(to: peer.slot)
    return record.pointee.id == peer ? record : nil
  }

  /// The places in use.
  var all: [Slot] {
    var slots: [Slot] = []
    for place in records.indices where records[place].state != .gone { slots.append(Slot(place)) }
    return slots
  }

  mutating func allocate() -> Slot {
    count += 1
    lastGeneration &+= 1
    let slot = records.insert(PeerRecord(), reusing: &free)
    records[slot].id = PeerID(slot: slot, generation: lastGeneration)
    return slot
  }

  /// Writes or reads all peers but those of this process. The calls of each are not among it.
  mutating func code(_ coder: inout StateCoder, functions: Int, users: Int) throws(StateError) {
    try coder.code(&lastGeneration)
    let isRemote = records.indices.map { records[$0].state != .gone && !records[$0].isLocal }
    try records.code(&coder, free: &free, blank: PeerRecord(), isUsed: { isRemote[Int($0)] }) {
      (coder, record, slot) throws(StateError) in
      try record.code(&coder, functions: functions, users: users)
      guard record.id.slot == slot, record.state != .gone else { throw StateError("a peer stands in another's place") }
      if coder.isReading { count += 1 }
    }
  }

  mutating func release(_ slot: Slot) {
    records[slot] = PeerRecord()
    free.append(slot)
    count -= 1
  }

  /// Gives memory back that a burst of peers has left.
  mutating func shrink() {
    records.dropUnusedEnd(&free) { $0.state == .gone }
  }
}
