import HostcallTestSupport
import HostcallWire

@testable import HostcallBridge

/// What may happen in one step of a history.
enum HistoryAction: CaseIterable {
  case connect, hello, register, unregister, bind, call, complete, completeWrongly, cancel, gone, backlog, unbacklog,
    taken
  case time, ping, goaway, violate, setPolicy, stop
  case item, credit, subscribe, unsubscribe, publish
  case handOver

  /// How often it is chosen, against the others.
  var weight: Int {
    switch self {
    case .connect, .register: 16
    case .hello, .bind, .ping: 3
    case .unregister, .cancel, .backlog: 8
    case .call: 60
    case .complete: 40
    case .completeWrongly, .unbacklog, .taken: 10
    case .gone: 9
    case .time: 14
    case .goaway, .violate: 2
    case .setPolicy: 3
    case .stop: 0
    case .item: 40
    case .credit: 16
    case .subscribe: 8
    case .unsubscribe: 3
    case .publish: 12
    case .handOver: 2
    }
  }
}

/// One step: what it does, and a seed for everything that it has to choose. What it chooses from is what is there when
/// it is played, so that a step means something whichever steps were before it.
struct HistoryStep {
  let action: HistoryAction
  let seed: UInt64
}

/// Limits and steps, all out of one seed.
struct History {
  let seed: UInt64
  let limits: Limits
  var steps: [HistoryStep]

  init(seed: UInt64) {
    self.seed = seed
    var random = SeededGenerator(seed: seed)
    limits = Self.limits(&random)
    // Each history likes some actions more than others.
    var weights = HistoryAction.allCases.map { ($0, $0.weight * random.pick([0, 1, 1, 1, 2, 4])) }
    if random.chance(20) { weights.append((.stop, 2)) }
    weights += [(.connect, 4), (.register, 4), (.call, 4)]
    let total = weights.reduce(0) { $0 + $1.1 }
    let count = 5 + random.below(random.pick([20, 60, 120, 300, 300]))
    steps = (0..<count).map { place in
      if place < 2 { return HistoryStep(action: .connect, seed: random.next()) }
      var left = random.below(total)
      let chosen = weights.first { weight in
        left -= weight.1
        return left < 0
      }
      return HistoryStep(action: chosen?.0 ?? .time, seed: random.next())
    }
  }

  /// Mostly roomy limits, of which each history has some that are met all the time.
  private static func limits(_ random: inout SeededGenerator) -> Limits {
    func tight(_ values: [Int], else roomy: Int) -> Int {
      random.chance(12) ? random.pick(values) : roomy
    }
    var limits = Limits()
    limits.frameBytes = 1_024
    limits.connectionsPerSecondPerUser = 1_000_000
    limits.livenessMilliseconds = 0
    limits.connections = tight([3, 6], else: 100)
    limits.connectionsPerUser = tight([1, 3], else: 100)
    limits.callsInFlight = tight([2, 8, 40], else: 1_000)
    limits.callsInFlightPerConnection = tight([1, 4, 20], else: 1_000)
    limits.callsInFlightPerUser = tight([2, 10], else: 1_000)
    limits.runningCallsPerUser = tight([1, 3, 10], else: 1_000)
    limits.queuedCallsPerFunction = random.chance(40) ? random.pick([0, 1, 3, 10]) : 100
    limits.queuedCallsPerConnection = tight([1, 5], else: 1_000)
    limits.queuedCallsPerUser = tight([2, 8], else: 1_000)
    limits.storedPayloadBytes = random.chance(30) ? random.pick([0, 50, 300]) : 100_000
    limits.storedPayloadBytesPerUser = tight([40, 200], else: 100_000)
    limits.functions = tight([2, 5], else: 1_000)
    limits.registrationsPerConnection = tight([1, 2], else: 100)
    limits.registrationsPerUser = tight([2, 4], else: 100)
    limits.boundHandlesPerConnection = tight([1], else: 100)
    limits.boundHandlesPerUser = tight([2], else: 100)
    limits.subscriptionsPerConnection = tight([1], else: 100)
    limits.subscriptionsPerUser = tight([2], else: 100)
    limits.waitingEventsPerConnection = random.chance(40) ? random.pick([0, 1, 3]) : 100
    limits.waitingEventBytesPerConnection = tight([0, 100], else: 100_000)
    limits.streamItemsAhead = random.pick([1, 2, 5, 1_024, 1_024])
    limits.defaultConcurrency = random.pick([1, 2, 64])
    limits.concurrency = random.pick([1, 2, 65_535])
    limits.defaultTimeoutMilliseconds = random.pick([1, 40, 30_000])
    limits.timeoutMilliseconds = random.pick([1_000, 3_600_000])
    limits.abandonedMilliseconds = random.pick([0, 1, 30, 5_000])
    limits.outputBytesPerConnection = random.chance(30) ? random.pick([200, 700]) : 8_388_608
    limits.resends = random.pick([0, 1, 2, 2, 2])
    limits.workersLostPerCall = random.pick([1, 2, 2, 3])
    limits.rememberedOutcomes = random.pick([1, 3, 1_024])
    return limits
  }
}
