/// Finds the call that a peer's request id stands for: open addressing with linear probing, no allocation but to grow.
///
/// Peers choose their request ids, so the hash is mixed with a secret of this run: nobody can make others' look-ups
/// slow by ids that collide.
struct RequestIndex: ~Copyable {
  struct Entry {
    var request: UInt64 = 0
    var caller: Slot = .none
    var call: Slot = .none
  }

  private var entries: Places<Entry>
  private let secret: UInt64
  private(set) var count = 0

  init(secret: UInt64) {
    self.secret = secret
    entries = Places(repeating: Entry(), count: 64)
  }

  /// The call of this request, or nil.
  func find(caller: Slot, request: UInt64) -> Slot? {
    if count == 0 { return nil }
    var place = home(caller, request)
    while entries[place].call != .none {
      if entries[place].request == request, entries[place].caller == caller { return entries[place].call }
      place = (place + 1) & (entries.count - 1)
    }
    return nil
  }

  /// Adds a request that is not there.
  mutating func insert(caller: Slot, request: UInt64, call: Slot) {
    if count * 2 >= entries.count { grow() }
    var place = home(caller, request)
    while entries[place].call != .none {
      place = (place + 1) & (entries.count - 1)
    }
    entries[place] = Entry(request: request, caller: caller, call: call)
    count += 1
  }

  /// Removes a request that is there.
  mutating func remove(caller: Slot, request: UInt64) {
    let mask = entries.count - 1
    var hole = home(caller, request)
    while entries[hole].request != request || entries[hole].caller != caller {
      precondition(entries[hole].call != .none, "a request is removed that was never added")
      hole = (hole + 1) & mask
    }
    // What was pushed behind the hole by others moves up, so that no search stops short.
    var place = hole
    while true {
      place = (place + 1) & mask
      if entries[place].call == .none { break }
      let wanted = home(entries[place].caller, entries[place].request)
      if (place &- wanted) & mask >= (place &- hole) & mask {
        entries[hole] = entries[place]
        hole = place
      }
    }
    entries[hole] = Entry()
    count -= 1
  }

  private func home(_ caller: Slot, _ request: UInt64) -> Int {
    var mixed = (request ^ secret) &* 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ (mixed >> 32) ^ UInt64(caller)) &* (secret | 1)
    return Int(truncatingIfNeeded: mixed >> 33) & (entries.count - 1)
  }

  private mutating func grow() {
    let larger = Places(repeating: Entry(), count: entries.count * 2)
    let old = exchange(&entries, with: larger)
    count = 0
    for place in old.indices where old[place].call != .none {
      insert(caller: old[place].caller, request: old[place].request, call: old[place].call)
    }
  }
}
