/// Finds the call that a peer's request id stands for: open addressing with linear probing, no allocation but to grow.
///
/// Peers choose their request ids, so the hash is mixed with a secret of this run: nobody can make others' look-ups
/// slow by ids that collide.
///
/// Unsafe pointers' rule: there are `mask + 1` entries at `entries`, a power of two, all of them initialised; every place
/// is masked before it is looked at.
struct RequestIndex: ~Copyable {
  struct Entry: BitwiseCopyable {
    var request: UInt64 = 0
    var caller: Slot = .none
    var call: Slot = .none
  }

  private var entries: UnsafeMutablePointer<Entry>
  private var mask = 63
  private let secret: UInt64
  private(set) var count = 0

  init(secret: UInt64) {
    self.secret = secret
    entries = Self.allocate(mask + 1)
  }

  deinit {
    entries.deallocate()
  }

  /// The call of this request, or nil.
  @inline(__always)
  func find(caller: Slot, request: UInt64) -> Slot? {
    var place = home(caller, request)
    while true {
      let entry = entries[place]
      if entry.call == .none { return nil }
      if entry.request == request, entry.caller == caller { return entry.call }
      place = (place &+ 1) & mask
    }
  }

  /// Adds a request that is not there.
  @inline(__always)
  mutating func insert(caller: Slot, request: UInt64, call: Slot) {
    if count &* 2 > mask { grow() }
    put(Entry(request: request, caller: caller, call: call))
    count &+= 1
  }

  @inline(__always)
  private func put(_ entry: Entry) {
    var place = home(entry.caller, entry.request)
    while entries[place].call != .none { place = (place &+ 1) & mask }
    entries[place] = entry
  }

  /// Removes a request that is there.
  mutating func remove(caller: Slot, request: UInt64) {
    var hole = home(caller, request)
    while entries[hole].request != request || entries[hole].caller != caller {
      precondition(entries[hole].call != .none, "a request is removed that was never added")
      hole = (hole &+ 1) & mask
    }
    // What was pushed behind the hole by others moves up, so that no search stops short.
    var place = hole
    while true {
      place = (place &+ 1) & mask
      let entry = entries[place]
      if entry.call == .none { break }
      let wanted = home(entry.caller, entry.request)
      if (place &- wanted) & mask >= (place &- hole) & mask {
        entries[hole] = entry
        hole = place
      }
    }
    entries[hole] = Entry()
    count &-= 1
  }

  @inline(__always)
  private func home(_ caller: Slot, _ request: UInt64) -> Int {
    var mixed = (request ^ secret) &* 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ (mixed >> 32) ^ UInt64(caller)) &* (secret | 1)
    return Int(truncatingIfNeeded: mixed >> 33) & mask
  }

  @inline(never)
  private mutating func grow() {
    let old = UnsafeMutableBufferPointer(start: entries, count: mask + 1)
    mask = mask * 2 + 1
    entries = Self.allocate(mask + 1)
    for entry in old where entry.call != .none { put(entry) }
    old.deallocate()
  }

  private static func allocate(_ count: Int) -> UnsafeMutablePointer<Entry> {
    let entries = UnsafeMutablePointer<Entry>.allocate(capacity: count)
    entries.initialize(repeating: Entry(), count: count)
    return entries
  }
}
