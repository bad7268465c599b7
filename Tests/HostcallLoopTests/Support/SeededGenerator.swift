import Glibc

/// A random sequence that its printed seed repeats: set `HOSTCALL_SEED` to it.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) {
    state = seed
  }

  /// Takes a seed from the environment or at random, and prints it.
  init(announcedFor test: String) {
    let given = getenv("HOSTCALL_SEED").flatMap { UInt64(String(cString: $0)) }
    let seed = given ?? .random(in: 0 ... .max)
    print("\(test): HOSTCALL_SEED=\(seed)")
    self.init(seed: seed)
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
