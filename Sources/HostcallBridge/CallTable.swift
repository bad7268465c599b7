import HostcallWire

/// A place in two of the lists that calls stand in.
struct CallLink: BitwiseCopyable {
  var previous: Slot = .none
  var next: Slot = .none
}

/// The ends of a list of calls that are linked through their records.
struct CallList: BitwiseCopyable {
  var first: Slot = .none
  var last: Slot = .none
  var count: UInt32 = 0
}

/// Where a call stands.
///
/// - `free`: the place has no call; it remembers how its last one ended until it is used again. To `queued` or `running`
///   when a call is accepted.
/// - `queued`: accepted, waits for a place at a worker or for a worker. To `running` when dispatched, to `free` when it
///   ends.
/// - `running`: sent to a worker. To `free` by its COMPLETE, to `abandoned` when it ends otherwise, to `queued` when the
///   worker is lost and it may be sent again.
/// - `abandoned`: it has ended for the caller; the worker holds a place for it until its COMPLETE. To `free`.
enum CallState: UInt8, BitwiseCopyable {
  case free
  case queued
  case running
  case abandoned
}

/// One call, and for a free place the end of the last one.
struct CallRecord: BitwiseCopyable {
  var turn: UInt64 = 0
  var state = CallState.free
  var flags = FrameFlags.none
  var encoding = PayloadEncoding.raw
  /// Whether its worker ended it; only then a further COMPLETE is a DUPLICATE.
  var wasCompleted = false
  /// Whether a copy of metadata and payload is kept.
  var hasBody = false
  /// Whether its caller takes result items.
  var wantsItems = false
  /// How often it was sent to a worker.
  var attempts: UInt8 = 0
  /// Bytes of the caller's metadata, at the start of the body.
  var metadataBytes: UInt16 = 0
  /// Bytes of the caller's metadata and payload.
  var bodyBytes: UInt32 = 0
  var caller = PeerID.nobody
  /// Whom it is charged to, also when its caller has left.
  var user: Slot = UserTable.local
  var request: UInt64 = 0
  var worker = PeerID.nobody
  var registration: Slot = .none
  /// Its items, where it has any.
  var stream: Slot = .none
  /// The function with the called name.
  var called: Slot = .none
  /// The function in whose queue it stands.
  var queue: Slot = .none
  /// Its place among all calls, so that one which goes back to a queue goes in front of later ones.
  var arrival: UInt64 = 0
  var timeoutMilliseconds: UInt32 = 0
  var deadlineMilliseconds: UInt64 = 0
  var acceptedNanoseconds: UInt64 = 0
  var dispatchedNanoseconds: UInt64 = 0
  /// Where its INVOKE ends in the stream of bytes to the worker, and the size of that frame.
  var invokeEnd: UInt64 = 0
  var invokeBytes: UInt32 = 0
  /// In its caller's list.
  var callerLink = CallLink()
  /// In the queue of a function while queued, in the worker's list while running or abandoned.
  var placeLink = CallLink()
}

/// All calls, by place, and the memory of those that ended.
///
/// Free places are used first in, first out, and only when more than ``remembered`` of them are free: what a place says
/// about the call that ended in it stays readable for at least that many ends.
struct CallTable: ~Copyable {
  private(set) var records = Places<CallRecord>()
  private var bodies = Places<StoredBody?>()
  private var free = CallList()
  private let remembered: Int
  private let capacity: Int
  private(set) var storedBytes = 0
  /// Bytes of bodies that have been let go, ever.
  private(set) var freedBytes = 0
  private var nextArrival: UInt64 = 0

  init(callsInFlight: Int, remembered: Int) {
    self.remembered = remembered
    capacity = min(CorrelationID.slots, callsInFlight + remembered)
  }

  /// All places, those of ended calls among them.
  var slots: Range<Slot> { 0..<Slot(records.count) }

  /// Calls that are queued, running or abandoned.
  var active: Int { records.count - Int(free.count) }

  subscript(slot: Slot) -> CallRecord {
    @inline(__always) unsafeAddress { UnsafePointer(records.pointer(to: Int(slot))) }
    @inline(__always) unsafeMutableAddress { records.pointer(to: Int(slot)) }
  }

  /// Where a record is, for several of its fields: it stays there whatever becomes of other calls.
  @inline(__always)
  func pointer(to slot: Slot) -> UnsafeMutablePointer<CallRecord> {
    records.pointer(to: Int(slot))
  }

  /// The correlation id of the call that is or was last in the place.
  func id(_ slot: Slot) -> CorrelationID {
    CorrelationID(slot: slot, turn: records[slot].turn)
  }

  /// A place for a new call, with a new turn, or nil where the table is full.
  mutating func allocate() -> Slot? {
    let slot: Slot
    if Int(free.count) > remembered || (records.count >= capacity && free.count > 0 && active < capacity - remembered) {
      slot = free.first
      var list = free
      removePlace(slot, from: &list)
      free = list
    } else if records.count < capacity {
      slot = Slot(records.count)
      records.append(CallRecord())
      bodies.append(nil)
    } else {
      return nil
    }
    nextArrival += 1
    records[slot] = CallRecord(turn: records[slot].turn + 1, arrival: nextArrival)
    return slot
  }

  /// Gives the place of an ended call back.
  mutating func release(_ slot: Slot) {
    dropBody(slot)
    records[slot].state = .free
    if records[slot].turn < CorrelationID.largestTurn {
      var list = free
      appendPlace(slot, to: &list)
      free = list
    }
  }

  // MARK: Bodies

  func body(_ slot: Slot) -> StoredBody? {
    records[slot].hasBody ? bodies[slot] : nil
  }

  mutating func keepBody(_ body: StoredBody, for slot: Slot) {
    dropBody(slot)
    bodies[slot] = body
    records[slot].hasBody = true
    storedBytes += body.byteCount
  }

  mutating func dropBody(_ slot: Slot) {
    guard records[slot].hasBody, let body = bodies[slot] else { return }
    storedBytes -= body.byteCount
    freedBytes += body.byteCount
    bodies[slot] = nil
    records[slot].hasBody = false
  }

  // MARK: Lists

  mutating func appendToCaller(_ slot: Slot, _ list: inout CallList) {
    records[slot].callerLink = CallLink(previous: list.last, next: .none)
    if list.last == .none { list.first = slot } else { records[list.last].callerLink.next = slot }
    list.last = slot
    list.count += 1
  }

  mutating func removeFromCaller(_ slot: Slot, _ list: inout CallList) {
    let link = records[slot].callerLink
    if link.previous == .none {
      list.first = link.next
    } else {
      records[link.previous].callerLink.next = link.next
    }
    if link.next == .none {
      list.last = link.previous
    } else {
      records[link.next].callerLink.previous = link.previous
    }
    list.count -= 1
  }

  mutating func appendPlace(_ slot: Slot, to list: inout CallList) {
    insertPlace(slot, to: &list, behind: list.last)
  }

  /// Into a queue, behind those that arrived before it.
  mutating func insertByArrival(_ slot: Slot, to list: inout CallList) {
    var behind = list.last
    while behind != .none, records[behind].arrival > records[slot].arrival {
      behind = records[behind].placeLink.previous
    }
    insertPlace(slot, to: &list, behind: behind)
  }

  mutating func removePlace(_ slot: Slot, from list: inout CallList) {
    let link = records[slot].placeLink
    if link.previous == .none { list.first = link.next } else { records[link.previous].placeLink.next = link.next }
    if link.next == .none {
      list.last = link.previous
    } else {
      records[link.next].placeLink.previous = link.previous
    }
    list.count -= 1
  }

  private mutating func insertPlace(_ slot: Slot, to list: inout CallList, behind previous: Slot) {
    let next = previous == .none ? list.first : records[previous].placeLink.next
    records[slot].placeLink = CallLink(previous: previous, next: next)
    if previous == .none { list.first = slot } else { records[previous].placeLink.next = slot }
    if next == .none { list.last = slot } else { records[next].placeLink.previous = slot }
    list.count += 1
  }
}
