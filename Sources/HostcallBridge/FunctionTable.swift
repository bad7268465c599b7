import HostcallWire

/// A name or pattern that somebody has registered, has bound, has subscribed to, or waits for.
struct FunctionRecord {
  var name: [UInt8] = []
  var hash: UInt32 = 0
  var isPattern = false
  /// Registrations that take calls; those that only finish what they have are not among them.
  var registrations: [Slot] = []
  /// Whether the one registration is `exclusive`.
  var isExclusive = false
  /// Registrations that policy has put to sleep.
  var sleeping: UInt32 = 0
  /// Where the search for a worker begins next, so that ties go round.
  var nextTurn = 0
  /// Calls that wait for a place or, where there are no registrations, for a worker.
  var queue = CallList()
  /// Its place in ``FunctionTable/withQueue``.
  var queuePlace: Slot = .none
  /// Peers that get the events of this name or pattern.
  var subscribers: [Slot] = []
  /// Bound handles, calls, registrations and subscriptions that mean this record: it stays until there are none.
  var references: UInt32 = 0
  /// The place of the worker that is started when nobody serves the name.
  var demand: UInt32 = .none
  /// Which function serves calls of this name, and the ``FunctionTable/epoch`` for which that holds.
  var served: Slot = .none
  var servedEpoch: UInt64 = 0
  var running = 0
  var calls: UInt64 = 0
  var failures: UInt64 = 0
  var latency = LatencyHistogram()

  /// All but the queue, and what follows from the name.
  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    try coder.code(&name)
    try coder.code(&registrations, of: 0) { (coder, slot) throws(StateError) in try coder.code(&slot) }
    try coder.code(&isExclusive)
    try coder.code(&sleeping)
    try coder.code(&nextTurn)
    try coder.code(&subscribers, of: 0) { (coder, slot) throws(StateError) in try coder.code(&slot) }
    try coder.code(&references)
    try coder.code(&running)
    try coder.code(&calls)
    try coder.code(&failures)
    try latency.code(&coder)
  }
}

/// Names and patterns to their records, without a String on the way.
struct FunctionTable: ~Copyable {
  /// A place of the hash table, with enough of the hash that other records are seldom looked at.
  struct Bucket: BitwiseCopyable {
    var slot: Slot = .none
    var hash: UInt32 = 0
  }

  private(set) var records = Places<FunctionRecord>()
  private var free: [Slot] = []
  private var buckets: Places<Bucket>
  private(set) var count = 0
  /// Functions in whose queue calls stand.
  private(set) var withQueue: [Slot] = []
  /// Names and patterns that have a subscriber, and those among them that are patterns.
  private var subscribed = 0
  private var subscribedPatterns = 0
  /// Patterns that have a registration.
  private var servedPatterns = 0
  /// Grows whenever a name without registrations of its own may mean another pattern than before.
  private var epoch: UInt64 = 1

  /// Names and patterns for which a worker is started, with its place.
  private var demands: [(name: [UInt8], worker: UInt32)] = []

  init() {
    buckets = Places(repeating: Bucket(), count: 64)
  }

  subscript(slot: Slot) -> FunctionRecord {
    @inline(__always) unsafeAddress { UnsafePointer(records.pointer(to: Int(slot))) }
    @inline(__always) unsafeMutableAddress { records.pointer(to: Int(slot)) }
  }

  /// Where a record is, for several of its fields: it stays there for as long as it is in use.
  @inline(__always)
  func pointer(to slot: Slot) -> UnsafeMutablePointer<FunctionRecord> {
    records.pointer(to: Int(slot))
  }

  func text(_ slot: Slot) -> String {
    String(decoding: records[slot].name, as: UTF8.self)
  }

  /// All records in use.
  var all: [Slot] {
    var slots: [Slot] = []
    for place in buckets.indices where buckets[place].slot != .none { slots.append(buckets[place].slot) }
    return slots
  }

  // MARK: Handing over

  /// Writes or reads all records but those that only registrations keep which are left out, given with their functions.
  /// Queues are not among it.
  mutating func code(_ coder: inout StateCoder, leavingOut locals: [Slot: Slot]) throws(StateError) {
    let localReferences = locals.values.reduce(into: [Slot: UInt32]()) { $0[$1, default: 0] += 1 }
    let references = records.indices.map { records[$0].references }
    let isReading = coder.isReading
    try records.code(
      &coder, free: &free, blank: FunctionRecord(),
      isUsed: { references[Int($0)] > localReferences[$0] ?? 0 }
    ) { (coder, record, slot) throws(StateError) in
      if isReading { return try record.code(&coder) }
      var written = record
      written.references -= localReferences[slot] ?? 0
      written.registrations.removeAll { locals[$0] != nil }
      if written.registrations.isEmpty { written.nextTurn = 0 }
      try written.code(&coder)
    }
    if isReading { try indexRecords() }
  }

  private mutating func indexRecords() throws(StateError) {
    let unused = Set(free)
    for place in records.indices where !unused.contains(Slot(place)) {
      let slot = Slot(place)
      let name = records[slot].name
      records[slot].isPattern = name.last == UInt8(ascii: "*")
      let (hash, bucket) = name.withUnsafeBytes { name in
        let hash = Self.hash(name)
        return (hash, self.bucket(of: name, hash: hash))
      }
      guard buckets[bucket].slot == .none, !name.isEmpty else { throw StateError("a name stands there twice") }
      records[slot].hash = hash
      buckets[bucket] = Bucket(slot: slot, hash: hash)
      count += 1
      if count * 2 > buckets.count { grow() }
      let record = records[slot]
      if !record.subscribers.isEmpty { subscribed += 1 }
      if record.isPattern, !record.subscribers.isEmpty { subscribedPatterns += 1 }
      if record.isPattern, !record.registrations.isEmpty { servedPatterns += 1 }
    }
    epoch += 1
  }

  // MARK: Names

  func find(_ name: UnsafeRawBufferPointer) -> Slot? {
    let place = bucket(of: name, hash: Self.hash(name))
    return buckets[place].slot == .none ? nil : buckets[place].slot
  }

  /// The record of the name, made if there is none; nil where there is none and there are `most` already.
  mutating func find(_ name: UnsafeRawBufferPointer, insertingUpTo most: Int) -> Slot? {
    find(name) ?? (count < most ? findOrInsert(name) : nil)
  }

  /// The record of the name, made if there is none.
  mutating func findOrInsert(_ name: UnsafeRawBufferPointer) -> Slot {
    let hash = Self.hash(name)
    let place = bucket(of: name, hash: hash)
    if buckets[place].slot != .none { return buckets[place].slot }
    var record = FunctionRecord()
    record.name = Array(name)
    record.hash = hash
    record.isPattern = name.last == UInt8(ascii: "*")
    if hasDemands { record.demand = demand(of: name) }
    let slot = records.insert(record, reusing: &free)
    buckets[place] = Bucket(slot: slot, hash: hash)
    count += 1
    if count * 2 > buckets.count { grow() }
    return slot
  }

  /// Adds a reference.
  mutating func retain(_ slot: Slot) {
    records[slot].references += 1
  }

  /// Takes a reference away, and the record with the last one.
  @inline(__always)
  mutating func release(_ slot: Slot) {
    let record = pointer(to: slot)
    record.pointee.references -= 1
    if record.pointee.references == 0 { remove(slot) }
  }

  @inline(never)
  private mutating func remove(_ slot: Slot) {
    precondition(
      records[slot].queue.count == 0 && records[slot].registrations.isEmpty,
      "a function goes that still has calls or registrations")
    let mask = buckets.count - 1
    var hole = Int(records[slot].hash) & mask
    while buckets[hole].slot != slot { hole = (hole + 1) & mask }
    var place = hole
    while true {
      place = (place + 1) & mask
      if buckets[place].slot == .none { break }
      let wanted = Int(buckets[place].hash) & mask
      if (place &- wanted) & mask >= (place &- hole) & mask {
        buckets[hole] = buckets[place]
        hole = place
      }
    }
    buckets[hole] = Bucket()
    records[slot] = FunctionRecord()
    free.append(slot)
    count -= 1
  }

  /// Gives memory back that a burst of names has left.
  mutating func shrink() {
    guard records.dropUnusedEnd(&free, where: { $0.name.isEmpty }) else { return }
    var size = 64
    while count * 2 > size { size *= 2 }
    if size < buckets.count { rebuild(bucketCount: size) }
  }

  private func bucket(of name: UnsafeRawBufferPointer, hash: UInt32) -> Int {
    let mask = buckets.count - 1
    var place = Int(hash) & mask
    while buckets[place].slot != .none {
      let slot = buckets[place].slot
      if buckets[place].hash == hash, records[slot].name.withUnsafeBytes({ $0.elementsEqual(name) }) { break }
      place = (place + 1) & mask
    }
    return place
  }

  private mutating func grow() {
    rebuild(bucketCount: buckets.count * 2)
  }

  private mutating func rebuild(bucketCount: Int) {
    let old = exchange(&buckets, with: Places(repeating: Bucket(), count: bucketCount))
    let mask = buckets.count - 1
    for index in old.indices where old[index].slot != .none {
      var place = Int(old[index].hash) & mask
      while buckets[place].slot != .none { place = (place + 1) & mask }
      buckets[place] = old[index]
    }
  }

  private static func hash(_ name: UnsafeRawBufferPointer) -> UInt32 {
    var hasher = Hasher()
    hasher.combine(bytes: name)
    return UInt32(truncatingIfNeeded: hasher.finalize())
  }

  // MARK: Workers that are started

  var hasDemands: Bool { !demands.isEmpty }

  /// For these names and patterns workers can be started.
  mutating func setDemands(_ demands: [(name: [UInt8], worker: UInt32)]) {
    self.demands = demands
    for slot in all { records[slot].demand = records[slot].name.withUnsafeBytes { demand(of: $0) } }
  }

  /// The place of the worker for a name: that which has the name itself, or the longest pattern that it matches.
  func demand(of name: UnsafeRawBufferPointer) -> UInt32 {
    var best: (length: Int, worker: UInt32) = (-1, .none)
    for demand in demands {
      if demand.name.elementsEqual(name) { return demand.worker }
      guard demand.name.last == UInt8(ascii: "*"), demand.name.count > best.length, !NameRules.isReserved(name),
        demand.name.withUnsafeBytes({ NameRules.pattern($0, matches: name) })
      else { continue }
      best = (demand.name.count, demand.worker)
    }
    return best.worker
  }

  /// Whether somebody has registered one of a worker's names or patterns.
  func isServed(_ worker: UInt32) -> Bool {
    demands.contains { demand in
      demand.worker == worker
        && demand.name.withUnsafeBytes { find($0) }.map { !records[$0].registrations.isEmpty } ?? false
    }
  }

  // MARK: Who serves a name

  /// The function whose workers take calls of this one's name: itself, or the longest pattern that has workers.
  @inline(__always)
  mutating func serving(_ slot: Slot) -> Slot? {
    records[slot].registrations.isEmpty ? servingElsewhere(slot) : slot
  }

  @inline(never)
  private mutating func servingElsewhere(_ slot: Slot) -> Slot? {
    if servedPatterns == 0 || records[slot].isPattern { return nil }
    if records[slot].servedEpoch != epoch {
      records[slot].served = records[slot].name.withUnsafeBytes { servingPattern($0) } ?? .none
      records[slot].servedEpoch = epoch
    }
    let served = records[slot].served
    return served == .none ? nil : served
  }

  /// The same for a name that may have no record.
  mutating func serving(_ name: UnsafeRawBufferPointer) -> Slot? {
    if let slot = find(name) { return serving(slot) }
    return servedPatterns == 0 ? nil : servingPattern(name)
  }

  /// The longest pattern with workers that matches a name.
  private func servingPattern(_ name: UnsafeRawBufferPointer) -> Slot? {
    firstPattern(matching: name) { !records[$0].registrations.isEmpty }
  }

  /// The patterns in whose queues calls of this name may stand.
  func queuedPatterns(matching name: UnsafeRawBufferPointer) -> [Slot] {
    var found: [Slot] = []
    _ = firstPattern(matching: name) { pattern in
      if records[pattern].queue.count > 0 { found.append(pattern) }
      return false
    }
    return found
  }

  /// Goes through the patterns that match a name or pattern, the longest first, until one is `wanted`. The daemon's
  /// own names match none.
  private func firstPattern(matching name: UnsafeRawBufferPointer, where wanted: (Slot) -> Bool) -> Slot? {
    if NameRules.isReserved(name) { return nil }
    return firstOfAllPatterns(matching: name, where: wanted)
  }

  /// As ``firstPattern(matching:where:)``, for the daemon's own names too.
  private func firstOfAllPatterns(matching name: UnsafeRawBufferPointer, where wanted: (Slot) -> Bool) -> Slot? {
    withUnsafeTemporaryAllocation(byteCount: name.count + 1, alignment: 1) { key in
      var length = name.count
      while length > 0 {
        length -= 1
        guard length == 0 || name[length - 1] == UInt8(ascii: ".") else { continue }
        key.copyMemory(from: UnsafeRawBufferPointer(rebasing: name[..<length]))
        key[length] = UInt8(ascii: "*")
        if let slot = find(UnsafeRawBufferPointer(rebasing: key[...length])), wanted(slot) { return slot }
      }
      return nil
    }
  }

  /// A registration takes calls from now on.
  mutating func addRegistration(_ registration: Slot, to slot: Slot) {
    if records[slot].isPattern, records[slot].registrations.isEmpty {
      servedPatterns += 1
      epoch += 1
    }
    records[slot].registrations.append(registration)
  }

  /// A registration takes no calls any more.
  mutating func removeRegistration(_ registration: Slot, from slot: Slot) {
    guard let place = records[slot].registrations.firstIndex(of: registration) else { return }
    records[slot].registrations.remove(at: place)
    if place < records[slot].nextTurn { records[slot].nextTurn -= 1 }
    records[slot].isExclusive = false
    if records[slot].isPattern, records[slot].registrations.isEmpty {
      servedPatterns -= 1
      epoch += 1
    }
  }

  // MARK: Subscribers

  /// Whether anybody has subscribed to anything.
  var hasSubscribers: Bool { subscribed > 0 }

  mutating func addSubscriber(_ peer: Slot, to slot: Slot) {
    if records[slot].subscribers.isEmpty {
      subscribed += 1
      if records[slot].isPattern { subscribedPatterns += 1 }
    }
    records[slot].subscribers.append(peer)
  }

  mutating func removeSubscriber(_ peer: Slot, from slot: Slot) {
    guard let place = records[slot].subscribers.firstIndex(of: peer) else { return }
    records[slot].subscribers.remove(at: place)
    if records[slot].subscribers.isEmpty {
      subscribed -= 1
      if records[slot].isPattern { subscribedPatterns -= 1 }
    }
  }

  /// The name itself and the patterns that it matches, the longest first, where they have subscribers.
  func subscribed(matching name: UnsafeRawBufferPointer) -> [Slot] {
    if subscribed == 0 { return [] }
    var found: [Slot] = []
    if let slot = find(name), !records[slot].subscribers.isEmpty { found.append(slot) }
    if subscribedPatterns == 0 { return found }
    _ = firstOfAllPatterns(matching: name) { pattern in
      if !records[pattern].subscribers.isEmpty { found.append(pattern) }
      return false
    }
    return found
  }

  // MARK: Queues

  /// Keeps ``withQueue`` true after calls were added to or taken from the queue of a function.
  mutating func queueChanged(_ slot: Slot) {
    let isListed = records[slot].queuePlace != .none
    let isNeeded = records[slot].queue.count > 0
    if isNeeded == isListed { return }
    if isNeeded {
      records[slot].queuePlace = Slot(withQueue.count)
      withQueue.append(slot)
    } else {
      let place = records[slot].queuePlace
      let moved = withQueue.removeLast()
      if moved != slot {
        withQueue[Int(place)] = moved
        records[moved].queuePlace = place
      }
      records[slot].queuePlace = .none
    }
  }
}
