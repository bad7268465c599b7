/// Deadlines in milliseconds, one for each place of the call table: setting, moving and cancelling take constant time.
///
/// A hierarchy of six wheels with 64 places each. A deadline lies in the wheel of the highest six bits in which it
/// differs from now; as time gets there, it moves to finer wheels, until it is due on the millisecond. One beyond the
/// reach of the coarsest wheel (63 of its places, two years) lies in the last of them for the time being.
///
/// Unsafe pointers' rule: `heads` has room for all places of all wheels, and whatever a node's `place` says is one of
/// them or ``Node/nowhere``; nodes stay where they are.
struct DeadlineWheel: ~Copyable {
  struct Node: BitwiseCopyable {
    let slot: Slot
    var place = Node.nowhere
    var deadline: UInt64 = 0
    var previous: UnsafeMutablePointer<Node>?
    var next: UnsafeMutablePointer<Node>?

    static let nowhere = UInt32.max
  }

  private static let levels = 6
  private static let bits = 6
  private static let placesEach = 1 << bits
  private static let reachMilliseconds = UInt64(placesEach - 1) << UInt64((levels - 1) * bits)

  private var nodes = Places<Node>()
  private let heads: UnsafeMutablePointer<UnsafeMutablePointer<Node>?>
  /// For each level a bit for each place with a deadline.
  private let occupied: UnsafeMutablePointer<UInt64>
  /// Milliseconds up to which everything was taken out.
  private var elapsed: UInt64
  private(set) var count = 0

  init(nowMilliseconds: UInt64) {
    elapsed = nowMilliseconds
    heads = .allocate(capacity: Self.levels * Self.placesEach)
    heads.initialize(repeating: nil, count: Self.levels * Self.placesEach)
    occupied = .allocate(capacity: Self.levels)
    occupied.initialize(repeating: 0, count: Self.levels)
  }

  deinit {
    heads.deallocate()
    occupied.deallocate()
  }

  /// Sets the deadline of `slot`, or moves it. One that has passed is due a millisecond later.
  mutating func set(_ slot: Slot, deadlineMilliseconds: UInt64) {
    while nodes.count <= Int(slot) { nodes.append(Node(slot: Slot(nodes.count))) }
    let node = nodes.pointer(to: Int(slot))
    if node.pointee.place != Node.nowhere { unlink(node) }
    node.pointee.deadline = max(deadlineMilliseconds, elapsed &+ 1)
    link(node)
    count &+= 1
  }

  /// Takes the deadline of `slot` away, if it has one.
  mutating func cancel(_ slot: Slot) {
    guard Int(slot) < nodes.count else { return }
    let node = nodes.pointer(to: Int(slot))
    if node.pointee.place != Node.nowhere { unlink(node) }
  }

  /// Up to when everything was taken out, for a wheel that takes this one's place.
  mutating func codeTime(_ coder: inout StateCoder) throws(StateError) {
    try coder.code(&elapsed)
  }

  /// The deadline of `slot`, nil where it has none.
  func deadlineMilliseconds(of slot: Slot) -> UInt64? {
    guard Int(slot) < nodes.count, nodes[slot].place != Node.nowhere else { return nil }
    return nodes[slot].deadline
  }

  /// Milliseconds at which ``advance(to:_:)`` has something to do, nil where there is no deadline. It may lie before
  /// the first deadline, never behind it.
  var nextMilliseconds: UInt64? {
    count == 0 ? nil : nextPlace()?.time
  }

  /// Moves on to `now` and appends what became due, in order of time, to `due`.
  mutating func advance(to nowMilliseconds: UInt64, _ due: inout [Slot]) {
    while let (place, time) = nextPlace(), time <= nowMilliseconds {
      elapsed = max(elapsed, time)
      var first = heads[place]
      heads[place] = nil
      occupied[place >> Self.bits] &= ~(1 << UInt64(place & 63))
      while let node = first {
        first = node.pointee.next
        node.pointee.place = Node.nowhere
        if node.pointee.deadline <= elapsed {
          count -= 1
          due.append(node.pointee.slot)
        } else {
          link(node)
        }
      }
    }
    elapsed = max(elapsed, nowMilliseconds)
  }

  @inline(__always)
  private func link(_ node: UnsafeMutablePointer<Node>) {
    // In the place where time is now it would hide all others of the wheel.
    let deadline = min(node.pointee.deadline, elapsed &+ Self.reachMilliseconds)
    let differing = 63 &- (deadline ^ elapsed).leadingZeroBitCount
    let level = min(differing / Self.bits, Self.levels - 1)
    let index =
      Int(truncatingIfNeeded: deadline &>> UInt64(truncatingIfNeeded: level &* Self.bits)) & (Self.placesEach - 1)
    let place = level &<< Self.bits | index
    let head = heads[place]
    if let head { head.pointee.previous = node }
    node.pointee.previous = nil
    node.pointee.next = head
    node.pointee.place = UInt32(truncatingIfNeeded: place)
    heads[place] = node
    occupied[level] |= 1 &<< UInt64(truncatingIfNeeded: index)
  }

  @inline(__always)
  private mutating func unlink(_ node: UnsafeMutablePointer<Node>) {
    let place = Int(node.pointee.place)
    let next = node.pointee.next
    if let previous = node.pointee.previous {
      previous.pointee.next = next
    } else {
      heads[place] = next
      if next == nil { occupied[place >> Self.bits] &= ~(1 &<< UInt64(place & 63)) }
    }
    if let next { next.pointee.previous = node.pointee.previous }
    node.pointee.place = Node.nowhere
    count &-= 1
  }

  /// The occupied place that time reaches first. Finer wheels come before coarser ones.
  private func nextPlace() -> (place: Int, time: UInt64)? {
    for level in 0..<Self.levels where occupied[level] != 0 {
      let shift = UInt64(level * Self.bits)
      let current = (elapsed >> shift) & 63
      let rotated = occupied[level] >> current | (current == 0 ? 0 : occupied[level] << (64 - current))
      let index = (current + UInt64(rotated.trailingZeroBitCount)) & 63
      let turnStart = (elapsed >> (shift + 6)) << (shift + 6)
      var time = turnStart | index << shift
      if time < elapsed, level == Self.levels - 1 { time += 1 << (shift + 6) }
      return (level << Self.bits | Int(index), max(time, elapsed))
    }
    return nil
  }
}
