/// Deadlines in milliseconds, one for each place of the call table: setting, moving and cancelling take constant time.
///
/// A hierarchy of six wheels with 64 places each. A deadline lies in the wheel of the highest six bits in which it
/// differs from now; as time gets there, it moves to finer wheels, until it is due on the millisecond. One beyond the
/// reach of the coarsest wheel (63 of its places, two years) lies in the last of them for the time being.
struct DeadlineWheel: ~Copyable {
  struct Node {
    var previous: Slot = .none
    var next: Slot = .none
    var place: UInt16 = Node.nowhere
    var deadline: UInt64 = 0

    static let nowhere = UInt16.max
  }

  private static let levels = 6
  private static let bits = 6
  private static let placesEach = 1 << bits
  private static let reachMilliseconds = UInt64(placesEach - 1) << UInt64((levels - 1) * bits)

  private var nodes = Places<Node>()
  private var heads = Places<Slot>(repeating: .none, count: levels * placesEach)
  private var occupied = Places<UInt64>(repeating: 0, count: levels)
  /// Milliseconds up to which everything was taken out.
  private var elapsed: UInt64
  private(set) var count = 0

  init(nowMilliseconds: UInt64) {
    elapsed = nowMilliseconds
  }

  /// Sets the deadline of `slot`, or moves it. One that has passed is due a millisecond later.
  mutating func set(_ slot: Slot, deadlineMilliseconds: UInt64) {
    while nodes.count <= Int(slot) { nodes.append(Node()) }
    if nodes[slot].place != Node.nowhere { cancel(slot) }
    nodes[slot].deadline = max(deadlineMilliseconds, elapsed + 1)
    link(slot)
    count += 1
  }

  /// Takes the deadline of `slot` away, if it has one.
  mutating func cancel(_ slot: Slot) {
    guard Int(slot) < nodes.count, nodes[slot].place != Node.nowhere else { return }
    let node = nodes[slot]
    if node.previous == .none {
      heads[Int(node.place)] = node.next
      if node.next == .none {
        occupied[Int(node.place) >> Self.bits] &= ~(1 << UInt64(node.place & 63))
      }
    } else {
      nodes[node.previous].next = node.next
    }
    if node.next != .none { nodes[node.next].previous = node.previous }
    nodes[slot].place = Node.nowhere
    count -= 1
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
      var slot = heads[place]
      heads[place] = .none
      occupied[place >> Self.bits] &= ~(1 << UInt64(place & 63))
      while slot != .none {
        let next = nodes[slot].next
        nodes[slot].place = Node.nowhere
        if nodes[slot].deadline <= elapsed {
          count -= 1
          due.append(slot)
        } else {
          link(slot)
        }
        slot = next
      }
    }
    elapsed = max(elapsed, nowMilliseconds)
  }

  private mutating func link(_ slot: Slot) {
    // In the place where time is now it would hide all others of the wheel.
    let deadline = min(nodes[slot].deadline, elapsed + Self.reachMilliseconds)
    let differing = 63 - (deadline ^ elapsed).leadingZeroBitCount
    let level = min(differing / Self.bits, Self.levels - 1)
    let index = Int(truncatingIfNeeded: deadline >> UInt64(level * Self.bits)) & (Self.placesEach - 1)
    let place = level << Self.bits | index
    let head = heads[place]
    if head != .none { nodes[head].previous = slot }
    nodes[slot].previous = .none
    nodes[slot].next = head
    nodes[slot].place = UInt16(place)
    heads[place] = slot
    occupied[level] |= 1 << UInt64(index)
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
