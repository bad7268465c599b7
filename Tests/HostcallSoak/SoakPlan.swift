import HostcallTestSupport

/// What is to become of a call: it stands in the payload, and the worker does it.
enum SoakPlan: UInt8, CaseIterable {
  /// Complete at once.
  case answer
  /// Complete later, in another order than they came.
  case hold
  /// Complete with FAILED.
  case fail
  /// Complete with a status of the application's own.
  case ownStatus
  /// Wait for CANCEL, then complete with CANCELLED.
  case deaf
  /// Wait for CANCEL, then complete all the same, which is LATE.
  case late
  /// Complete twice, the second time a DUPLICATE.
  case twice
  /// Complete, and also complete a call that another worker runs: UNKNOWN_CALL.
  case stray
  /// End the connection without completing.
  case lethal
  /// Send items before completing.
  case items
  /// Take items before completing.
  case arguments
  /// Look into open files that come along, and send some back.
  case files
  /// The daemon's own `hostcall.echo`.
  case builtIn

  /// How many of a thousand calls have each.
  private static let weights: [(plan: SoakPlan, weight: Int)] = [
    (.answer, 430), (.hold, 220), (.fail, 40), (.ownStatus, 40), (.deaf, 20), (.late, 20), (.twice, 40),
    (.stray, 20), (.lethal, 1), (.items, 60), (.arguments, 49), (.files, 20), (.builtIn, 40),
  ]

  static func pick(_ random: inout SeededGenerator) -> SoakPlan {
    var drawn = random.below(1_000)
    for (plan, weight) in weights {
      drawn -= weight
      if drawn < 0 { return plan }
    }
    return .answer
  }

  /// Whether it completes only after CANCEL.
  var awaitsCancel: Bool { self == .deaf || self == .late }
}

/// A host function of the soak.
struct SoakFunction {
  /// What workers register.
  let name: String
  let isIdempotent: Bool

  var isPattern: Bool { name.hasSuffix(".*") }

  /// What a caller calls.
  func calledName(_ random: inout SeededGenerator) -> String {
    isPattern ? "\(name.dropLast(2)).x\(random.below(50))" : name
  }

  static let all =
    (0..<5).map { SoakFunction(name: "soak.f\($0)", isIdempotent: false) }
    + (0..<2).map { SoakFunction(name: "soak.i\($0)", isIdempotent: true) }
    + [SoakFunction(name: "soak.p.*", isIdempotent: false)]
}
