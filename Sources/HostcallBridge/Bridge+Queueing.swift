import HostcallWire

/// Calls that wait for a place or for a worker (protocol section 4, *Calling*).
///
/// A call stands in the queue of the function that serves its name now, or in that of its own name while nobody serves
/// it. When registrations come and go, calls move to where their names belong.
extension Bridge {
  mutating func enqueue(_ call: Slot, in function: Slot) {
    calls[call].state = .queued
    calls[call].queue = function
    calls.insertByArrival(call, to: &functions[function].queue)
    functions.queueChanged(function)
  }

  mutating func dequeue(_ call: Slot) {
    let function = calls[call].queue
    calls.removePlace(call, from: &functions[function].queue)
    functions.queueChanged(function)
    calls[call].queue = .none
  }

  /// Dispatches waiting calls, first come first served, while there are places.
  mutating func serveQueue(_ function: Slot, now: UInt64, into actions: inout ActionBuffer) {
    while functions[function].queue.count > 0, let registration = chooseWorker(function) {
      let call = functions[function].queue.first
      dequeue(call)
      calls[call].state = .running
      if registrations[registration].wantsCaller, Int(calls[call].metadataBytes) > Self.roomForMetadata {
        calls[call].state = .queued
        end(call, .invalidArgument, now: now, into: &actions) { name, _ in "\(name): \(Self.noRoomForMetadata)" }
      } else {
        dispatch(call, to: registration, now: now, into: &actions)
      }
    }
  }

  /// A function has a new registration: calls that now belong to it come over, and as many as there are places start.
  mutating func adoptQueued(_ function: Slot, now: UInt64, into actions: inout ActionBuffer) {
    if functions[function].registrations.count == 1 {
      let isPattern = functions[function].isPattern
      let others =
        isPattern
        ? functions.withQueue : functions[function].name.withUnsafeBytes { functions.queuedPatterns(matching: $0) }
      for other in others where other != function {
        for call in waiting(in: other) where functions.serving(calls[call].called) == function {
          move(call, to: function, now: now, into: &actions)
        }
      }
    }
    serveQueue(function, now: now, into: &actions)
  }

  /// A function has lost its last registration: its waiting calls go to the pattern that serves their name now, or wait
  /// on if they said WAIT, or end with NOT_FOUND.
  mutating func rehomeQueue(of function: Slot, now: UInt64, into actions: inout ActionBuffer) {
    var targets: [Slot] = []
    for call in waiting(in: function) {
      if let serving = functions.serving(calls[call].called) {
        move(call, to: serving, now: now, into: &actions)
        if !targets.contains(serving) { targets.append(serving) }
      } else if calls[call].flags.contains(.wait) {
        move(call, to: calls[call].called, now: now, into: &actions)
      } else {
        end(call, .notFound, now: now, into: &actions) { name, _ in
          "\(name): the last worker that had registered it went away while the call waited"
        }
      }
    }
    for target in targets { serveQueue(target, now: now, into: &actions) }
  }

  private mutating func move(_ call: Slot, to function: Slot, now: UInt64, into actions: inout ActionBuffer) {
    if calls[call].queue == function { return }
    guard Int(functions[function].queue.count) < limits.queuedCallsPerFunction else {
      return end(call, .overloaded, now: now, into: &actions) { name, limits in
        "\(name): \(limits.queuedCallsPerFunction) calls wait for it, the most that may"
      }
    }
    dequeue(call)
    enqueue(call, in: function)
  }

  private func waiting(in function: Slot) -> [Slot] {
    var waiting: [Slot] = []
    var call = functions[function].queue.first
    while call != .none {
      waiting.append(call)
      call = calls[call].placeLink.next
    }
    return waiting
  }
}
