import HostcallTestSupport
import HostcallWire

@testable import HostcallBridge

/// What may happen in one step of a history.
enum HistoryAction: CaseIterable {
  case connect, hello, register, unregister, bind, call, complete, completeWrongly, cancel, gone, backlog, unbacklog,
    taken
  case time, ping, goaway, violate, stop
  case item, credit, subscribe, unsubscribe, publish

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
    case .stop: 0
    case .item: 40
    case .credit: 16
    case .subscribe: 8
    case .unsubscribe: 3
    case .publish: 12
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

  private static func limits(_ random: inout SeededGenerator) -> Limits {
    var limits = Limits()
    limits.connections = random.pick([3, 6, 100])
    limits.frameBytes = 1_024
    limits.callsInFlightPerConnection = random.pick([1, 4, 20, 1_000])
    limits.callsInFlight = random.pick([2, 8, 40, 1_000])
    limits.queuedCallsPerFunction = random.pick([0, 1, 3, 10, 100])
    limits.storedPayloadBytes = random.pick([0, 50, 300, 100_000])
    limits.registrationsPerConnection = random.pick([1, 2, 100])
    limits.functions = random.pick([2, 5, 1_000])
    limits.boundHandlesPerConnection = random.pick([1, 100])
    limits.connectionsPerUser = random.pick([1, 3, 100])
    limits.connectionsPerSecondPerUser = 1_000_000
    limits.callsInFlightPerUser = random.pick([2, 10, 1_000])
    limits.runningCallsPerUser = random.pick([1, 3, 10, 1_000])
    limits.queuedCallsPerConnection = random.pick([1, 5, 1_000])
    limits.queuedCallsPerUser = random.pick([2, 8, 1_000])
    limits.storedPayloadBytesPerUser = random.pick([40, 200, 100_000])
    limits.registrationsPerUser = random.pick([2, 100])
    limits.boundHandlesPerUser = random.pick([2, 100])
    limits.subscriptionsPerConnection = random.pick([1, 100])
    limits.subscriptionsPerUser = random.pick([2, 100])
    limits.waitingEventsPerConnection = random.pick([0, 1, 3, 100])
    limits.waitingEventBytesPerConnection = random.pick([0, 100, 100_000])
    limits.streamItemsAhead = random.pick([1, 2, 5, 1_024])
    limits.abandonedMilliseconds = random.pick([0, 1, 30, 5_000])
    limits.livenessMilliseconds = 0
    limits.defaultConcurrency = random.pick([1, 2, 64])
    limits.concurrency = random.pick([1, 2, 65_535])
    limits.defaultTimeoutMilliseconds = random.pick([1, 40, 30_000])
    limits.timeoutMilliseconds = random.pick([1_000, 3_600_000])
    limits.outputBytesPerConnection = random.pick([200, 700, 8_388_608, 8_388_608])
    limits.resends = random.pick([0, 1, 2, 2, 2])
    limits.rememberedOutcomes = random.pick([1, 3, 1_024])
    return limits
  }
}
