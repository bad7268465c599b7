/// Records by place, in memory that one owner has to itself: a record is two addresses away, without a count of
/// references or a look whether anybody else has the memory, which an Array needs. Records are used where they lie, by
/// their address; a getter would copy a whole record for each of its fields. Records never move, so growing keeps
/// nobody waiting.
///
/// Places of records that are not in use any more are listed by the table that has them, as `free`.
///
/// Unsafe pointers' rule: `segments` has room for `segmentRoom` addresses, of which the first `segmentCount` are of room
/// for `segmentSize` records each; the first `count` records are there. A place beyond stops the process.
struct Places<Record>: ~Copyable {
  private var segments: UnsafeMutablePointer<UnsafeMutablePointer<Record>>
  private var segmentCount = 0
  private var segmentRoom = 4
  private(set) var count = 0

  /// Bytes of a segment, at the most.
  private static var segmentBytes: Int { 65_536 }
  /// Records that there may be without anybody looking at how many of them are used.
  private static var roomyCount: Int { 256 }

  /// How many bits of a place tell the record in its segment.
  @inline(__always) private static var shift: Int {
    let most = max(segmentBytes / MemoryLayout<Record>.stride, 1)
    return Int.bitWidth - 1 - most.leadingZeroBitCount
  }

  @inline(__always) private static var segmentSize: Int { 1 << shift }

  init() {
    segments = .allocate(capacity: segmentRoom)
  }

  /// So many records that are all the same.
  init(repeating record: Record, count: Int) {
    self.init()
    for _ in 0..<count { append(record) }
  }

  deinit {
    for segment in 0..<segmentCount {
      segments[segment].deinitialize(count: min(Self.segmentSize, count - segment * Self.segmentSize))
      segments[segment].deallocate()
    }
    segments.deallocate()
  }

  var indices: Range<Int> { 0..<count }

  @inline(__always) private func address(_ place: Int) -> UnsafeMutablePointer<Record> {
    segments[place >> Self.shift] + (place & (Self.segmentSize - 1))
  }

  /// Where a record is, for as long as it is there.
  @inline(__always) func pointer(to place: Int) -> UnsafeMutablePointer<Record> {
    precondition(UInt(bitPattern: place) < UInt(bitPattern: count), "a place without a record")
    return address(place)
  }

  subscript(place: Int) -> Record {
    @inline(__always) unsafeAddress { UnsafePointer(pointer(to: place)) }
    @inline(__always) unsafeMutableAddress { pointer(to: place) }
  }

  subscript(slot: Slot) -> Record {
    @inline(__always) unsafeAddress { UnsafePointer(pointer(to: Int(slot))) }
    @inline(__always) unsafeMutableAddress { pointer(to: Int(slot)) }
  }

  mutating func append(_ record: consuming Record) {
    if count == segmentCount << Self.shift { addSegment() }
    address(count).initialize(to: record)
    count += 1
  }

  /// Puts a record where one was before, or at the end where no place is free; gives its place.
  mutating func insert(_ record: consuming Record, reusing free: inout [Slot]) -> Slot {
    if let slot = free.popLast() {
      self[slot] = record
      return slot
    }
    append(record)
    return Slot(count - 1)
  }

  /// Drops unused records from the end, and their places from `free`, where that makes the table half as large or
  /// smaller: tables grow in a burst and would stay large. Whether it did.
  @discardableResult
  mutating func dropUnusedEnd(_ free: inout [Slot], where isUnused: (borrowing Record) -> Bool) -> Bool {
    var end = count
    while end > 0, isUnused(address(end - 1).pointee) { end -= 1 }
    guard count > Self.roomyCount, end <= count / 2 else { return false }
    while count > end {
      count -= 1
      address(count).deinitialize(count: 1)
    }
    while segmentCount > 0, (segmentCount - 1) << Self.shift >= count {
      segmentCount -= 1
      segments[segmentCount].deallocate()
    }
    free = free.filter { $0 < Slot(end) }
    return true
  }

  private mutating func addSegment() {
    if segmentCount == segmentRoom {
      let larger = UnsafeMutablePointer<UnsafeMutablePointer<Record>>.allocate(capacity: segmentRoom * 2)
      larger.moveInitialize(from: segments, count: segmentCount)
      segments.deallocate()
      segments = larger
      segmentRoom *= 2
    }
    (segments + segmentCount).initialize(to: .allocate(capacity: Self.segmentSize))
    segmentCount += 1
  }
}
