import HostcallWire

/// Calls that wait for a worker which is started for them: those of a name that an ``OnDemandWorker`` has, where nobody has
/// registered it.
extension Bridge {
  /// These workers can be had. Once, before any peer is there or right after a state was read.
  package mutating func setOnDemand(_ workers: [OnDemandWorker]) {
    functions.setDemands(
      workers.enumerated().flatMap { place, worker in worker.functions.map { (Array($0.utf8), UInt32(place)) } })
    for function in functions.withQueue { noteDemand(ofQueue: function) }
  }

  /// Whether ``takeWanted()`` has any.
  package var wantsWorkers: Bool { !wantedWorkers.isEmpty }

  /// Workers that calls have begun to wait for since this was last asked, by their places, each once.
  package mutating func takeWanted() -> [Int] {
    if wantedWorkers.isEmpty { return [] }
    defer { wantedWorkers = [] }
    return wantedWorkers.sorted().map { Int($0) }
  }

  /// Whether somebody has registered one of the worker's functions.
  package func isServed(_ worker: Int) -> Bool {
    functions.isServed(UInt32(worker))
  }

  /// Whether calls wait for the worker.
  package func isWanted(_ worker: Int) -> Bool {
    functions.withQueue.contains { functions[$0].registrations.isEmpty && functions[$0].demand == UInt32(worker) }
  }

  /// The worker cannot be had for a while: calls that wait for it end, but for those that wait for whoever comes (WAIT).
  package mutating func giveUp(_ worker: Int, now: UInt64, into actions: inout ActionBuffer) {
    unavailableWorkers.insert(UInt32(worker))
    for function in functions.withQueue
    where functions[function].registrations.isEmpty && functions[function].demand == UInt32(worker) {
      for call in waiting(in: function) where !call.pointee.flags.has(.wait) {
        end(call, .unavailable, now: now, into: &actions) { name, _ in "\(name): \(Self.startedTooOften)" }
      }
    }
  }

  /// It can be had again.
  package mutating func resume(_ worker: Int) {
    unavailableWorkers.remove(UInt32(worker))
  }

  static let startedTooOften =
    "its worker was started several times and has not stayed (its log says why; it is tried again in a while)"

  // MARK: Asking

  /// Whether a call of a name that nobody serves may wait until its worker was started.
  @inline(never)
  mutating func mayAwaitWorker(_ name: UnsafeRawBufferPointer) -> Bool {
    let demand = functions.demand(of: name)
    return demand != .none && !unavailableWorkers.contains(demand)
  }

  @inline(never)
  mutating func mayAwaitWorker(_ called: Slot) -> Bool {
    let demand = functions[called].demand
    return demand != .none && !unavailableWorkers.contains(demand)
  }

  /// Whether a call that lost its worker, or its function the last one, waits for another.
  mutating func waitsForWorker(_ call: Call) -> Bool {
    call.pointee.flags.has(.wait) || functions.hasDemands && mayAwaitWorker(call.pointee.called)
  }

  /// A call stands in the queue of a function: if nobody serves that, its worker is wanted.
  mutating func noteDemand(ofQueue function: Slot) {
    guard functions.hasDemands, functions[function].demand != .none, functions[function].registrations.isEmpty,
      functions[function].queue.count > 0
    else { return }
    wantedWorkers.insert(functions[function].demand)
  }
}
