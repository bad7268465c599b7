/// One worker's offer to run a function.
struct RegistrationRecord: BitwiseCopyable {
  /// Its place in the table.
  var slot: Slot = .none
  var worker = PeerID.nobody
  var function: Slot = .none
  /// What INVOKE carries in `function`.
  var handle: UInt32 = 0
  /// Calls that the worker runs at once.
  var concurrency: UInt32 = 0
  /// Places in use: calls running or abandoned.
  var places: UInt32 = 0
  /// Milliseconds that a call may run, 0 for no limit of its own.
  var timeoutMilliseconds: UInt32 = 0
  var isIdempotent = false
  var wantsCaller = false
  /// Whether it takes calls; where not, it goes when its last place is free.
  var isActive = false

  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    try coder.code(&slot)
    try worker.code(&coder)
    try coder.code(&function)
    try coder.code(&handle)
    try coder.code(&concurrency)
    try coder.code(&places)
    try coder.code(&timeoutMilliseconds)
    try coder.code(&isIdempotent)
    try coder.code(&wantsCaller)
    try coder.code(&isActive)
  }
}

/// All registrations, by place.
struct RegistrationTable: ~Copyable {
  private(set) var records = Places<RegistrationRecord>()
  private var free: [Slot] = []

  var count: Int { records.count - free.count }

  subscript(slot: Slot) -> RegistrationRecord {
    @inline(__always) unsafeAddress { UnsafePointer(records.pointer(to: Int(slot))) }
    @inline(__always) unsafeMutableAddress { records.pointer(to: Int(slot)) }
  }

  /// Where a record is, for several of its fields: it stays there for as long as it is in use.
  @inline(__always)
  func pointer(to slot: Slot) -> UnsafeMutablePointer<RegistrationRecord> {
    records.pointer(to: Int(slot))
  }

  mutating func allocate(_ record: RegistrationRecord) -> Slot {
    let slot = records.insert(record, reusing: &free)
    records[slot].slot = slot
    return slot
  }

  /// Writes or reads all but those of the workers that are left out.
  mutating func code(_ coder: inout StateCoder, leavingOut locals: Set<PeerID>) throws(StateError) {
    let records = records.indices.map { self.records[$0].worker }
    try self.records.code(
      &coder, free: &free, blank: RegistrationRecord(),
      isUsed: { records[Int($0)] != .nobody && !locals.contains(records[Int($0)]) }
    ) { (coder, record, _) throws(StateError) in try record.code(&coder) }
  }

  mutating func release(_ slot: Slot) {
    records[slot] = RegistrationRecord()
    free.append(slot)
  }

  /// Gives memory back that a burst of registrations has left.
  mutating func shrink() {
    records.dropUnusedEnd(&free) { $0.worker == .nobody }
  }
}
