/// What one user of the machine has at the moment, over all of its connections, and the limits that hold for it.
struct UserRecord {
  let userID: UInt32
  /// The daemon's limits, with what was set for this user.
  var limits: Limits
  var connections = 0
  /// Calls without an outcome that its connections have made, those among them whose caller has left.
  var callsInFlight = 0
  /// Those of them that wait for a place or a worker.
  var queuedCalls = 0
  /// Calls that hold a place with its workers.
  var runningCalls = 0
  var registrations = 0
  var subscriptions = 0
  var boundHandles = 0
  /// Payload and metadata kept for its calls.
  var storedBytes = 0
  /// Bytes of frames that have not come whole.
  var inputBytes = 0
  /// Bytes that its connections have not read, waiting events among them.
  var outputBytes = 0
  /// Nanoseconds at which all connections of the last second would have come, had they come evenly.
  var connectionsPaidUntil: UInt64 = 0

  /// Whether nothing is charged to it.
  var isIdle: Bool {
    connections | callsInFlight | runningCalls | registrations | subscriptions | boundHandles == 0
      && storedBytes | inputBytes | outputBytes | queuedCalls == 0
  }

  mutating func code(_ coder: inout StateCoder, limits: (UInt32) -> Limits) throws(StateError) {
    var userID = userID
    try coder.code(&userID)
    if coder.isReading { self = UserRecord(userID: userID, limits: limits(userID)) }
    for count in [
      \.connections, \.callsInFlight, \.queuedCalls, \.runningCalls, \.registrations, \.subscriptions, \.boundHandles,
      \.storedBytes, \.inputBytes, \.outputBytes,
    ] as [WritableKeyPath<UserRecord, Int>] {
      try coder.code(&self[keyPath: count])
    }
    try coder.code(&connectionsPaidUntil)
  }

  /// Pays for a connection, if so many a second are allowed and not more than a second's worth came at once.
  mutating func payForConnection(now: UInt64) -> Bool {
    let second: UInt64 = 1_000_000_000
    let price = second / UInt64(max(1, limits.connectionsPerSecondPerUser))
    let paid = max(connectionsPaidUntil, now)
    guard paid + price <= now + second else { return false }
    connectionsPaidUntil = paid + price
    return true
  }
}

/// Users by their number.
///
/// A record is kept when its user has left, for the rate of its connections; when there are many, idle ones go.
struct UserTable: ~Copyable {
  /// This process itself, which no limit of users holds for.
  static let local: Slot = 0
  /// How many records there may be before idle ones are looked for.
  private static let roomyCount = 1_024

  private(set) var records = Places<UserRecord>()
  private var slots: [UInt32: Slot] = [:]
  private var free: [Slot] = []
  private var nextSweep = Self.roomyCount
  private let limits: Limits
  private let limitsByUser: [UInt32: Limits]

  init(limits: Limits, limitsByUser: [UInt32: Limits]) {
    self.limits = limits
    self.limitsByUser = limitsByUser.mapValues { own in
      var own = own
      for key in Limits.keys where key.scope == .daemon { own[keyPath: key.keyPath] = limits[keyPath: key.keyPath] }
      return own
    }
    var local = limits
    for key in Limits.keys where key.scope == .user { local[keyPath: key.keyPath] = key.range.upperBound }
    records.append(UserRecord(userID: .max, limits: local))
  }

  subscript(slot: Slot) -> UserRecord {
    @inline(__always) unsafeAddress { UnsafePointer(records.pointer(to: Int(slot))) }
    @inline(__always) unsafeMutableAddress { records.pointer(to: Int(slot)) }
  }

  /// Where a record is, for several of its fields: it stays there for as long as it is in use.
  @inline(__always)
  func pointer(to slot: Slot) -> UnsafeMutablePointer<UserRecord> {
    records.pointer(to: Int(slot))
  }

  /// The record of a user, made if there is none.
  mutating func findOrInsert(_ userID: UInt32, now: UInt64) -> Slot {
    if let slot = slots[userID] { return slot }
    if slots.count >= nextSweep { sweep(now: now) }
    let record = UserRecord(userID: userID, limits: limitsByUser[userID] ?? limits)
    let slot = records.insert(record, reusing: &free)
    slots[userID] = slot
    return slot
  }

  /// What is charged to anybody, by what it is; nothing when all peers are gone.
  var charges: [(what: String, amount: Int)] {
    func sum(_ what: String, _ part: (UserRecord) -> Int) -> (String, Int) {
      (what, records.indices.reduce(0) { $0 + part(records[$1]) })
    }
    return [
      sum("users' connections", \.connections), sum("users' calls", \.callsInFlight),
      sum("users' queued calls", \.queuedCalls), sum("users' running calls", \.runningCalls),
      sum("users' registrations", \.registrations), sum("users' subscriptions", \.subscriptions),
      sum("users' bound handles", \.boundHandles), sum("users' stored bytes", \.storedBytes),
      sum("users' input", \.inputBytes), sum("users' output", \.outputBytes),
    ]
  }

  /// Writes or reads all users; of this process itself only what calls have left behind whose caller has gone.
  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    let used = Set(slots.values)
    let blank = UserRecord(userID: .max, limits: limits)
    let ownLimits = records[Self.local].limits
    try records.code(&coder, free: &free, blank: blank, isUsed: { $0 == Self.local || used.contains($0) }) {
      (coder, record, slot) throws(StateError) in
      if slot == Self.local {
        var own = UserRecord(userID: .max, limits: ownLimits)
        own.callsInFlight = record.callsInFlight
        own.queuedCalls = record.queuedCalls
        own.storedBytes = record.storedBytes
        try own.code(&coder) { _ in ownLimits }
        if coder.isReading { record = own }
      } else {
        try record.code(&coder) { limitsByUser[$0] ?? limits }
        if coder.isReading { slots[record.userID] = slot }
      }
    }
  }

  /// Forgets users that have nothing and whose last connections are a second ago.
  private mutating func sweep(now: UInt64) {
    for (userID, slot) in slots where records[slot].isIdle && records[slot].connectionsPaidUntil <= now {
      slots[userID] = nil
      free.append(slot)
    }
    nextSweep = max(Self.roomyCount, slots.count * 2)
  }
}
