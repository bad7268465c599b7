import Glibc

/// A random sequence that its seed repeats (SplitMix64): the same numbers for the same seed, everywhere.
package struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) {
    state = seed
  }

  /// Takes a seed from the environment or at random, and prints it.
  package init(announcedFor test: String) {
    let seed = Self.seedFromEnvironment ?? .random(in: 0 ... .max)
    print("\(test): HOSTCALL_SEED=\(seed)")
    self.init(seed: seed)
  }

  /// The seed in `HOSTCALL_SEED`, decimal or with `0x`, nil where there is none.
  package static var seedFromEnvironment: UInt64? {
    guard let text = getenv("HOSTCALL_SEED").map({ String(cString: $0) }) else { return nil }
    return text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  package mutating func below(_ bound: Int) -> Int {
    Int(truncatingIfNeeded: next() % UInt64(bound))
  }

  /// True so many times in a hundred.
  package mutating func chance(_ percent: Int) -> Bool {
    below(100) < percent
  }

  /// True once in so many times.
  package mutating func oneIn(_ times: Int) -> Bool {
    below(times) == 0
  }

  package mutating func pick<Element>(_ elements: [Element]) -> Element {
    elements[below(elements.count)]
  }

  package mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }
}
