import HostcallWire

/// A call, by the address of its record. Records stay where they are for as long as the table is there.
typealias Call = UnsafeMutablePointer<CallRecord>

/// A place in one of the lists that a call stands in.
struct CallLink: BitwiseCopyable {
  var previous: Call?
  var next: Call?
}

/// The ends of a list of calls that are linked through their records.
struct CallList: BitwiseCopyable {
  var first: Call?
  var last: Call?
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
  /// Its place in the table.
  let slot: Slot
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
  /// How many workers were lost while they may have been running it.
  var losses: UInt8 = 0
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

  /// Forgets the last call of the place; what every call that is accepted is given is left as it is.
  @inline(__always)
  mutating func begin(arrival: UInt64) {
    turn &+= 1
    self.arrival = arrival
    wasCompleted = false
    hasBody = false
    wantsItems = false
    attempts = 0
    losses = 0
    worker = .nobody
    registration = .none
    stream = .none
    queue = .none
  }

  /// All but its body, its stream and its lists; of a call that has ended what a late COMPLETE is told by.
  mutating func code(_ coder: inout StateCoder, functions: Int) throws(StateError) {
    try coder.code(&state)
    try coder.code(&turn)
    try worker.code(&coder)
    try coder.code(&wasCompleted)
    guard state != .free else { return }
    try coder.code(&flags)
    try coder.code(&encoding)
    try coder.code(&wantsItems)
    try coder.code(&attempts)
    try coder.code(&losses)
    try coder.code(&metadataBytes)
    try coder.code(&bodyBytes)
    try caller.code(&coder)
    try coder.code(&user)
    try coder.code(&request)
    try coder.code(&registration)
    try coder.code(&called, below: functions)
    try coder.code(&queue, below: functions)
    try coder.code(&arrival)
    try coder.code(&timeoutMilliseconds)
    try coder.code(&deadlineMilliseconds)
    try coder.code(&acceptedNanoseconds)
    try coder.code(&dispatchedNanoseconds)
    try coder.code(&invokeEnd)
    try coder.code(&invokeBytes)
  }

  /// The correlation id of the call that is or was last in the place.
  var id: CorrelationID { CorrelationID(slot: slot, turn: turn) }
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

  /// The call in a place, or the end of the last one.
  @inline(__always)
  subscript(slot: Slot) -> Call { records.pointer(to: Int(slot)) }

  /// The call that has a correlation id, or had it last; nil where another has its place, or none was ever there.
  @inline(__always)
  func find(_ id: CorrelationID) -> Call? {
    guard Int(id.slot) < records.count else { return nil }
    let call = self[id.slot]
    return call.pointee.turn == id.turn ? call : nil
  }

  /// A place for a new call, with a new turn, or nil where the table is full.
  mutating func allocate() -> Call? {
    let call: Call
    if let first = free.first, Int(free.count) > remembered || mustForget {
      call = first
      Self.removePlace(call, from: &free)
    } else if records.count < capacity {
      let slot = Slot(records.count)
      records.append(CallRecord(slot: slot))
      bodies.append(nil)
      call = self[slot]
    } else {
      return nil
    }
    nextArrival &+= 1
    call.pointee.begin(arrival: nextArrival)
    return call
  }

  /// Whether there is no other place for a new call than one whose end should be remembered.
  private var mustForget: Bool { records.count >= capacity && active < capacity - remembered }

  /// Gives the place of an ended call back.
  mutating func release(_ call: Call) {
    dropBody(call)
    call.pointee.state = .free
    if call.pointee.turn < CorrelationID.largestTurn { Self.appendPlace(call, to: &free) }
  }

  // MARK: Handing over

  /// Writes or reads all places, those of ended calls among them; not bodies, and of the lists only that of free places.
  mutating func code(_ coder: inout StateCoder, functions: Int) throws(StateError) {
    try coder.code(&nextArrival)
    let count = try coder.count(records.count)
    guard count <= CorrelationID.slots else { throw StateError("there are \(count) calls") }
    for place in 0..<count {
      if coder.isReading {
        records.append(CallRecord(slot: Slot(place)))
        bodies.append(nil)
      }
      try self[Slot(place)].pointee.code(&coder, functions: functions)
    }
    var free = free
    try code(&free, \.placeLink, &coder)
    self.free = free
  }

  /// The calls of a list, in order.
  mutating func code(
    _ list: inout CallList, _ link: WritableKeyPath<CallRecord, CallLink>, _ coder: inout StateCoder
  ) throws(StateError) {
    var slots: [Slot] = []
    var next = list.first
    while let call = next {
      slots.append(call.pointee.slot)
      next = call.pointee[keyPath: link].next
    }
    try coder.code(&slots, of: 0) { (coder, slot) throws(StateError) in
      try coder.code(&slot, below: records.count)
      guard slot != .none else { throw StateError("a call is missing") }
      if coder.isReading { Self.append(self[slot], to: &list) { $0.pointer(to: link).unsafelyUnwrapped } }
    }
  }

  /// What is kept of a call, if anything is.
  mutating func codeBody(of call: Call, _ coder: inout StateCoder) throws(StateError) {
    var isKept = call.pointee.hasBody
    try coder.code(&isKept)
    guard isKept else { return }
    var body = self.body(call)
    try StoredBody.code(&body, &coder)
    if coder.isReading, let body { keepBody(body, for: call) }
  }

  // MARK: Bodies

  func body(_ call: Call) -> StoredBody? {
    call.pointee.hasBody ? bodies[call.pointee.slot] : nil
  }

  mutating func keepBody(_ body: StoredBody, for call: Call) {
    dropBody(call)
    bodies[call.pointee.slot] = body
    call.pointee.hasBody = true
    storedBytes += body.byteCount
  }

  @inline(__always)
  mutating func dropBody(_ call: Call) {
    if call.pointee.hasBody { dropKeptBody(call) }
  }

  @inline(never)
  private mutating func dropKeptBody(_ call: Call) {
    guard let body = bodies[call.pointee.slot] else { return }
    storedBytes -= body.byteCount
    freedBytes += body.byteCount
    bodies[call.pointee.slot] = nil
    call.pointee.hasBody = false
  }

  // MARK: Lists

  /// Where a call has one of its two links.
  private typealias Link = (Call) -> UnsafeMutablePointer<CallLink>

  @inline(__always)
  private static func append(_ call: Call, to list: inout CallList, _ link: Link) {
    let last = list.last
    link(call).pointee = CallLink(previous: last, next: nil)
    if let last { link(last).pointee.next = call } else { list.first = call }
    list.last = call
    list.count &+= 1
  }

  @inline(__always)
  private static func remove(_ call: Call, from list: inout CallList, _ link: Link) {
    let (previous, next) = (link(call).pointee.previous, link(call).pointee.next)
    if let previous { link(previous).pointee.next = next } else { list.first = next }
    if let next { link(next).pointee.previous = previous } else { list.last = previous }
    list.count &-= 1
  }

  @inline(__always)
  static func appendToCaller(_ call: Call, _ list: inout CallList) {
    append(call, to: &list) { $0.pointer(to: \.callerLink).unsafelyUnwrapped }
  }

  @inline(__always)
  static func removeFromCaller(_ call: Call, _ list: inout CallList) {
    remove(call, from: &list) { $0.pointer(to: \.callerLink).unsafelyUnwrapped }
  }

  @inline(__always)
  static func appendPlace(_ call: Call, to list: inout CallList) {
    append(call, to: &list) { $0.pointer(to: \.placeLink).unsafelyUnwrapped }
  }

  @inline(__always)
  static func removePlace(_ call: Call, from list: inout CallList) {
    remove(call, from: &list) { $0.pointer(to: \.placeLink).unsafelyUnwrapped }
  }

  /// Into a queue, behind those that arrived before it.
  static func insertByArrival(_ call: Call, to list: inout CallList) {
    var behind = list.last
    while let other = behind, other.pointee.arrival > call.pointee.arrival { behind = other.pointee.placeLink.previous }
    let next = if let behind { behind.pointee.placeLink.next } else { list.first }
    call.pointee.placeLink = CallLink(previous: behind, next: next)
    if let behind { behind.pointee.placeLink.next = call } else { list.first = call }
    if let next { next.pointee.placeLink.previous = call } else { list.last = call }
    list.count &+= 1
  }
}
