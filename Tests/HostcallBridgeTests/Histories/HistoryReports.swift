import HostcallWire

@testable import HostcallBridge

/// What the built-in functions tell, as far as the model knows it.
struct HistoryReports: Equatable {
  struct Function: Equatable {
    let name: String
    let workers: Int
    let concurrency: Int
    let running: Int
    let queued: Int
  }

  struct Peer: Equatable {
    let functions: Int
    let callsInFlight: Int
    let running: Int
  }

  struct Call: Equatable {
    let function: String
    let state: String
    let attempts: Int
    let isWithWorker: Bool
  }

  let functions: [Function]
  let peers: [Peer]
  let calls: [Call]
  let knownFunctions: Int
  let queued: Int

  init(bridge harness: BridgeHarness) {
    functions = harness.bridge.functionReports().map {
      Function(
        name: $0.name, workers: $0.workers, concurrency: $0.concurrency, running: $0.running, queued: $0.queued)
    }
    peers = harness.bridge.peerReports(now: harness.now).map {
      Peer(functions: $0.functions, callsInFlight: $0.callsInFlight, running: $0.running)
    }
    calls = harness.bridge.callReports(now: harness.now).map {
      Call(function: $0.function, state: $0.state, attempts: $0.attempts, isWithWorker: $0.worker != nil)
    }
    let statistics = harness.bridge.statsReport()
    knownFunctions = statistics.functions
    queued = statistics.callsQueued
  }

  init(model: HistoryModel) {
    let queues = model.queues()
    var held: [String: Int] = [:]
    for registration in model.registrations where registration.held > 0 {
      held[registration.name, default: 0] += registration.held
    }
    let names = Set(queues.keys).union(model.workers.keys).union(held.keys)
    functions = names.sorted().map { name in
      let workers = model.workers[name] ?? []
      return Function(
        name: name, workers: workers.count,
        concurrency: workers.reduce(0) { $0 + model.registrations[$1].concurrency }, running: held[name] ?? 0,
        queued: queues[name]?.count ?? 0)
    }
    peers = model.peers.filter { $0.state != .gone }.map {
      Peer(functions: $0.registrations.count, callsInFlight: $0.callsInFlight, running: $0.work.count)
    }
    calls = model.active.map { model.calls[$0] }.map {
      Call(function: $0.name, state: "\($0.state)", attempts: $0.attempts, isWithWorker: $0.worker != nil)
    }
    knownFunctions = model.knownNames().count
    queued = queues.values.reduce(0) { $0 + $1.count }
  }
}
