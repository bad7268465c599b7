import HostcallWire

/// A name or pattern that somebody has registered, has bound, has subscribed to, or waits for.
struct FunctionRecord {
  var name: [UInt8] = []
  var hash = 0
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
  /// Which function serves calls of this name, and the ``FunctionTable/epoch`` for which that holds.
  var served: Slot = .none
  var servedEpoch: UInt64 = 0
  var running = 0
  var calls: UInt64 = 0
  var failures: UInt64 = 0
  var latency = LatencyHistogram()
}

/// Names and patterns to their records, without a String on the way.
struct FunctionTable {
  private(set) var records: [FunctionRecord] = []
  private var free: [Slot] = []
  private var buckets: [Slot]
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

  init() {
    buckets = Array(repeating: .none, count: 64)
  }

  subscript(slot: Slot) -> FunctionRecord {
    _read { yield records[Int(slot)] }
    _modify { yield &records[Int(slot)] }
  }

  func text(_ slot: Slot) -> String {
    String(decoding: records[Int(slot)].name, as: UTF8.self)
  }

  /// All records in use.
  var all: [Slot] {
    buckets.filter { $0 != .none }
  }

  // MARK: Names

  func find(_ name: UnsafeRawBufferPointer) -> Slot? {
    let place = bucket(of: name, hash: Self.hash(name))
    return buckets[place] == .none ? nil : buckets[place]
  }

  /// The record of the name, made if there is none.
  mutating func findOrInsert(_ name: UnsafeRawBufferPointer) -> Slot {
    let hash = Self.hash(name)
    let place = bucket(of: name, hash: hash)
    if buckets[place] != .none { return buckets[place] }
    var record = FunctionRecord()
    record.name = Array(name)
    record.hash = hash
    record.isPattern = name.last == UInt8(ascii: "*")
    let slot = records.insert(record, reusing: &free)
    buckets[place] = slot
    count += 1
    if count * 2 > buckets.count { grow() }
    return slot
  }

  /// Adds a reference.
  mutating func retain(_ slot: Slot) {
    records[Int(slot)].references += 1
  }

  /// Takes a reference away, and the record with the last one.
  mutating func release(_ slot: Slot) {
    records[Int(slot)].references -= 1
    if records[Int(slot)].references == 0 { remove(slot) }
  }

  private mutating func remove(_ slot: Slot) {
    precondition(
      records[Int(slot)].queue.count == 0 && records[Int(slot)].registrations.isEmpty,
      "a function goes that still has calls or registrations")
    let mask = buckets.count - 1
    var hole = records[Int(slot)].hash & mask
    while buckets[hole] != slot { hole = (hole + 1) & mask }
    var place = hole
    while true {
      place = (place + 1) & mask
      if buckets[place] == .none { break }
      let wanted = records[Int(buckets[place])].hash & mask
      if (place &- wanted) & mask >= (place &- hole) & mask {
        buckets[hole] = buckets[place]
        hole = place
      }
    }
    buckets[hole] = .none
    records[Int(slot)] = FunctionRecord()
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

  private func bucket(of name: UnsafeRawBufferPointer, hash: Int) -> Int {
    let mask = buckets.count - 1
    var place = hash & mask
    while buckets[place] != .none {
      let slot = Int(buckets[place])
      if records[slot].hash == hash, records[slot].name.withUnsafeBytes({ $0.elementsEqual(name) }) { break }
      place = (place + 1) & mask
    }
    return place
  }

  private mutating func grow() {
    rebuild(bucketCount: buckets.count * 2)
  }

  private mutating func rebuild(bucketCount: Int) {
    let slots = all
    buckets = Array(repeating: .none, count: bucketCount)
    for slot in slots {
      var place = records[Int(slot)].hash & (buckets.count - 1)
      while buckets[place] != .none { place = (place + 1) & (buckets.count - 1) }
      buckets[place] = slot
    }
  }

  private static func hash(_ name: UnsafeRawBufferPointer) -> Int {
    var hasher = Hasher()
    hasher.combine(bytes: name)
    return hasher.finalize()
  }

  // MARK: Who serves a name

  /// The function whose workers take calls of this one's name: itself, or the longest pattern that has workers.
  mutating func serving(_ slot: Slot) -> Slot? {
    if !records[Int(slot)].registrations.isEmpty { return slot }
    if servedPatterns == 0 || records[Int(slot)].isPattern { return nil }
    if records[Int(slot)].servedEpoch != epoch {
      records[Int(slot)].served = records[Int(slot)].name.withUnsafeBytes { servingPattern($0) } ?? .none
      records[Int(slot)].servedEpoch = epoch
    }
    let served = records[Int(slot)].served
    return served == .none ? nil : served
  }

  /// The same for a name that may have no record.
  mutating func serving(_ name: UnsafeRawBufferPointer) -> Slot? {
    if let slot = find(name) { return serving(slot) }
    return servedPatterns == 0 ? nil : servingPattern(name)
  }

  /// The longest pattern with workers that matches a name.
  private func servingPattern(_ name: UnsafeRawBufferPointer) -> Slot? {
    firstPattern(matching: name) { !records[Int($0)].registrations.isEmpty }
  }

  /// The patterns in whose queues calls of this name may stand.
  func queuedPatterns(matching name: UnsafeRawBufferPointer) -> [Slot] {
    var found: [Slot] = []
    _ = firstPattern(matching: name) { pattern in
      if records[Int(pattern)].queue.count > 0 { found.append(pattern) }
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
    if records[Int(slot)].isPattern, records[Int(slot)].registrations.isEmpty {
      servedPatterns += 1
      epoch += 1
    }
    records[Int(slot)].registrations.append(registration)
  }

  /// A registration takes no calls any more.
  mutating func removeRegistration(_ registration: Slot, from slot: Slot) {
    guard let place = records[Int(slot)].registrations.firstIndex(of: registration) else { return }
    records[Int(slot)].registrations.remove(at: place)
    if place < records[Int(slot)].nextTurn { records[Int(slot)].nextTurn -= 1 }
    records[Int(slot)].isExclusive = false
    if records[Int(slot)].isPattern, records[Int(slot)].registrations.isEmpty {
      servedPatterns -= 1
      epoch += 1
    }
  }

  // MARK: Subscribers

  /// Whether anybody has subscribed to anything.
  var hasSubscribers: Bool { subscribed > 0 }

  mutating func addSubscriber(_ peer: Slot, to slot: Slot) {
    if records[Int(slot)].subscribers.isEmpty {
      subscribed += 1
      if records[Int(slot)].isPattern { subscribedPatterns += 1 }
    }
    records[Int(slot)].subscribers.append(peer)
  }

  mutating func removeSubscriber(_ peer: Slot, from slot: Slot) {
    guard let place = records[Int(slot)].subscribers.firstIndex(of: peer) else { return }
    records[Int(slot)].subscribers.remove(at: place)
    if records[Int(slot)].subscribers.isEmpty {
      subscribed -= 1
      if records[Int(slot)].isPattern { subscribedPatterns -= 1 }
    }
  }

  /// The name itself and the patterns that it matches, the longest first, where they have subscribers.
  func subscribed(matching name: UnsafeRawBufferPointer) -> [Slot] {
    if subscribed == 0 { return [] }
    var found: [Slot] = []
    if let slot = find(name), !records[Int(slot)].subscribers.isEmpty { found.append(slot) }
    if subscribedPatterns == 0 { return found }
    _ = firstOfAllPatterns(matching: name) { pattern in
      if !records[Int(pattern)].subscribers.isEmpty { found.append(pattern) }
      return false
    }
    return found
  }

  // MARK: Queues

  /// Keeps ``withQueue`` true after calls were added to or taken from the queue of a function.
  mutating func queueChanged(_ slot: Slot) {
    let isListed = records[Int(slot)].queuePlace != .none
    let isNeeded = records[Int(slot)].queue.count > 0
    if isNeeded == isListed { return }
    if isNeeded {
      records[Int(slot)].queuePlace = Slot(withQueue.count)
      withQueue.append(slot)
    } else {
      let place = records[Int(slot)].queuePlace
      let moved = withQueue.removeLast()
      if moved != slot {
        withQueue[Int(place)] = moved
        records[Int(moved)].queuePlace = place
      }
      records[Int(slot)].queuePlace = .none
    }
  }
}
