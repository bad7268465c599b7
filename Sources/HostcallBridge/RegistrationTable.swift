/// One worker's offer to run a function.
struct RegistrationRecord: BitwiseCopyable {
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

  mutating func allocate(_ record: RegistrationRecord) -> Slot {
    records.insert(record, reusing: &free)
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
