import HostcallTestSupport
import Testing

@testable import HostcallBridge

/// ``DeadlineWheel`` against a plain dictionary.
@Suite struct DeadlineWheelTests {
  /// The wheel and what it should hold; time that the wheel was told.
  private final class Pair {
    var wheel: DeadlineWheel
    var deadlines: [Slot: UInt64] = [:]
    var now: UInt64
    /// Whether something became due that should not, or did not that should, or in the wrong order.
    var wentWrong = false

    init(now: UInt64) {
      wheel = DeadlineWheel(nowMilliseconds: now)
      self.now = now
    }

    func set(_ slot: Slot, _ deadline: UInt64) {
      wheel.set(slot, deadlineMilliseconds: deadline)
      // What has passed is due on the next millisecond.
      deadlines[slot] = max(deadline, now + 1)
    }

    func cancel(_ slot: Slot) {
      wheel.cancel(slot)
      deadlines[slot] = nil
    }

    func advance(to time: UInt64) {
      var due: [Slot] = []
      wheel.advance(to: time, &due)
      now = time
      let times = due.compactMap { deadlines.removeValue(forKey: $0) }
      let isRight =
        times.count == due.count && times.allSatisfy { $0 <= time } && times == times.sorted()
        && deadlines.values.allSatisfy { $0 > time }
      if !isRight { wentWrong = true }
    }

    var isRight: Bool {
      if wentWrong { return false }
      guard wheel.count == deadlines.count, let first = deadlines.values.min() else {
        return wheel.count == 0 && wheel.nextMilliseconds == nil && deadlines.isEmpty
      }
      guard let next = wheel.nextMilliseconds else { return false }
      return next <= first && next > now
    }
  }

  private static let spans: [UInt64] = [
    1, 5, 63, 64, 65, 1_000, 4_095, 4_096, 30_000, 262_144, 3_600_000, 16_777_216, 86_400_000, 1 << 30, 1 << 32,
    1 << 36, 1 << 38,
  ]

  @Test(arguments: 0..<300 as Range<UInt64>)
  func neverEarlyNeverLate(seed: UInt64) {
    var random = SeededGenerator(seed: seed &* 77 &+ 5)
    // Starts lie just before the places where wheels turn over.
    let start =
      random.chance(70) ? (1 << UInt64(random.pick([6, 12, 18, 24, 30, 36, 40]))) - UInt64(random.below(3)) : 17
    let pair = Pair(now: start)
    for step in 0..<150 {
      let slot = Slot(random.below(20))
      switch random.below(10) {
      case 0..<5: pair.set(slot, pair.now + random.next() % random.pick(Self.spans))
      case 5: pair.set(slot, pair.now - min(pair.now, random.next() % 50))
      case 6: pair.cancel(slot)
      case 7:
        if let next = pair.wheel.nextMilliseconds { pair.advance(to: next) }
      default:
        pair.advance(to: pair.now + random.next() % random.pick(Self.spans))
      }
      guard pair.isRight else {
        Issue.record("seed \(seed), step \(step)")
        return
      }
    }
    pair.advance(to: pair.now + 1 << 40)
    #expect(pair.isRight && pair.deadlines.isEmpty)
  }

  /// What is further away than all wheels reach comes neither early nor late, and hides nothing that is nearer.
  @Test func beyondTheLastWheel() {
    for start in [0, 1 << 30, 5 << 30, (1 << 36) - 1, 1 << 36, 3 << 36 + 12_345] as [UInt64] {
      let pair = Pair(now: start)
      pair.set(0, start + 1 << 36 + 7)
      pair.set(1, start + 1 << 31)
      pair.set(2, start + 3 << 36)
      pair.set(3, start + 1 << 36)
      #expect(pair.isRight)
      for slot in [1, 3, 0, 2] as [Slot] {
        let deadline = pair.deadlines[slot] ?? 0
        pair.advance(to: deadline - 1)
        #expect(pair.deadlines[slot] != nil && pair.isRight)
        pair.advance(to: deadline)
        #expect(pair.deadlines[slot] == nil && pair.isRight)
      }
    }
  }

  /// Going from one ``DeadlineWheel/nextMilliseconds`` to the next gets there in few steps.
  @Test func followingTheNextTimeIsEnough() {
    var random = SeededGenerator(seed: 9)
    for _ in 0..<200 {
      let pair = Pair(now: random.next() >> UInt64(20 + random.below(30)))
      for slot in 0..<8 as Range<Slot> { pair.set(slot, pair.now + 1 + random.next() % random.pick(Self.spans)) }
      var steps = 0
      while let next = pair.wheel.nextMilliseconds, steps < 1_000 {
        pair.advance(to: next)
        steps += 1
      }
      #expect(pair.isRight && pair.deadlines.isEmpty && steps <= 8 * 12)
    }
  }
}
