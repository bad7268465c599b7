import HostcallWire

/// An event that waits for a subscriber to read.
struct WaitingEvent {
  /// Its place among all events for the subscriber, from 1.
  let place: UInt64
  let encoding: PayloadEncoding
  let nameBytes: UInt16
  let metadataBytes: UInt16
  /// Name, metadata and payload; shared by all who wait for it.
  let body: StoredBody

  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    var (place, encoding, nameBytes, metadataBytes) = (place, encoding, nameBytes, metadataBytes)
    try coder.code(&place)
    try coder.code(&encoding)
    try coder.code(&nameBytes)
    try coder.code(&metadataBytes)
    var body: StoredBody? = body
    try StoredBody.code(&body, &coder)
    guard let body, Int(nameBytes) + Int(metadataBytes) <= body.byteCount else {
      throw StateError("an event is shorter than its name and metadata")
    }
    self = WaitingEvent(
      place: place, encoding: encoding, nameBytes: nameBytes, metadataBytes: metadataBytes, body: body)
  }
}

/// Events of one subscriber that does not read as fast as they come: the oldest make way for new ones.
struct EventQueue {
  private var waiting: [WaitingEvent] = []
  private var start = 0
  /// Bytes of all bodies that wait.
  private(set) var bytes = 0
  /// Events for the subscriber so far, dropped ones among them.
  private(set) var lastPlace: UInt64 = 0
  /// Events that were dropped since the last one that was sent.
  private(set) var dropped: UInt32 = 0

  var count: Int { waiting.count - start }
  var isEmpty: Bool { count == 0 }

  /// The place of an event that is sent at once.
  mutating func nextPlace() -> UInt64 {
    lastPlace += 1
    return lastPlace
  }

  /// Lets an event wait; the oldest are dropped while there are more than the limits allow.
  mutating func append(_ event: WaitingEvent, mostEvents: Int, mostBytes: Int) {
    waiting.append(event)
    bytes += event.body.byteCount
    while count > mostEvents || bytes > mostBytes, !isEmpty {
      _ = removeFirst()
      dropped = dropped == .max ? .max : dropped + 1
    }
  }

  /// The oldest event, with how many before it were dropped.
  mutating func popFirst() -> (event: WaitingEvent, dropped: UInt32)? {
    guard !isEmpty else { return nil }
    let event = removeFirst()
    return (event, takeDropped())
  }

  /// How many events were dropped before the one that is about to be sent.
  mutating func takeDropped() -> UInt32 {
    defer { dropped = 0 }
    return dropped
  }

  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    try coder.code(&lastPlace)
    try coder.code(&dropped)
    var left = coder.isReading ? [] : Array(waiting[start...])
    let blank = WaitingEvent(
      place: 0, encoding: .raw, nameBytes: 0, metadataBytes: 0,
      body: StoredBody(copying: UnsafeRawBufferPointer(start: nil, count: 0)))
    try coder.code(&left, of: blank) { (coder, event) throws(StateError) in try event.code(&coder) }
    guard coder.isReading else { return }
    (waiting, start) = (left, 0)
    bytes = left.reduce(0) { $0 + $1.body.byteCount }
  }

  private mutating func removeFirst() -> WaitingEvent {
    let event = waiting[start]
    start += 1
    bytes -= event.body.byteCount
    // Each is moved once at most for each that was removed.
    if start * 2 >= waiting.count {
      waiting.removeFirst(start)
      start = 0
    }
    return event
  }
}
