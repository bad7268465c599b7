/// One way of a call's items: from the worker to the caller, or back.
///
/// The receiver gives credit. What of it the daemon has not passed on yet is held, so that no sender can be further ahead
/// of a receiver that does not read than ``Limits/streamItemsAhead``.
struct ItemFlow: BitwiseCopyable {
  /// Credit that the receiver has given and that has not been passed on to the sender.
  private(set) var held: UInt32 = 0
  /// Credit that the sender has and has not spent.
  private(set) var credit: UInt32 = 0
  /// The place of the next item; after 4,294,967,295 comes 0.
  private(set) var nextPlace: UInt32 = 0

  /// The receiver gives credit. More than can be counted is as much as can be counted.
  mutating func give(_ items: UInt32) {
    let (sum, overflows) = held.addingReportingOverflow(items)
    held = overflows ? .max : sum
  }

  /// Credit to pass on to the sender, 0 for none.
  ///
  /// - Parameters:
  ///   - limit: the most that the sender may have.
  ///   - isUrgent: whether a little will do; else it is worth a frame only where it is all that is held, or half of what
  ///     the sender may have.
  mutating func pass(limit: UInt32, isUrgent: Bool = false) -> UInt32 {
    guard credit < limit else { return 0 }
    let items = min(held, limit - credit)
    guard isUrgent || items == held || items >= (limit + 1) / 2 else { return 0 }
    held -= items
    credit += items
    return items
  }

  /// The sender has sent an item.
  mutating func spend() {
    if credit > 0 { credit -= 1 }
    nextPlace &+= 1
  }

  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    try coder.code(&held)
    try coder.code(&credit)
    try coder.code(&nextPlace)
  }

  /// The sender is lost before it has sent an item; what it could have sent another one may send.
  mutating func takeBack() {
    give(credit)
    credit = 0
  }
}

/// The items of one call.
struct StreamRecord: BitwiseCopyable {
  /// From the worker to the caller.
  var results = ItemFlow()
  /// From the caller to the worker; nothing where the call is not OPEN.
  var arguments = ItemFlow()
  /// The caller has sent its last argument.
  var argumentsHaveEnded = false
  /// An item has been passed on, or credit of the worker: then the call cannot be sent to another one.
  var hasBegun = false

  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    try results.code(&coder)
    try arguments.code(&coder)
    try coder.code(&argumentsHaveEnded)
    try coder.code(&hasBegun)
  }
}

/// The streams of calls that have any, by place.
struct StreamTable: ~Copyable {
  private var records = Places<StreamRecord>()
  private var free: [Slot] = []

  var count: Int { records.count - free.count }

  subscript(slot: Slot) -> StreamRecord {
    @inline(__always) unsafeAddress { UnsafePointer(records.pointer(to: Int(slot))) }
    @inline(__always) unsafeMutableAddress { records.pointer(to: Int(slot)) }
  }

  mutating func allocate() -> Slot {
    records.insert(StreamRecord(), reusing: &free)
  }

  mutating func release(_ slot: Slot) {
    free.append(slot)
  }
}
