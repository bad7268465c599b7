import HostcallWire

/// Calls that wait for a place or for a worker (protocol section 4, *Calling*).
///
/// A call stands in the queue of the function that serves its name now, or in that of its own name while nobody serves
/// it. When registrations come and go, calls move to where their names belong.
extension Bridge {
  mutating func enqueue(_ call: Call, in function: Slot) {
    call.pointee.state = .queued
    users[call.pointee.user].queuedCalls += 1
    if call.pointee.caller.slot != .none { peers[call.pointee.caller.slot].queuedCalls += 1 }
    call.pointee.queue = function
    CallTable.insertByArrival(call, to: &functions[function].queue)
    functions.queueChanged(function)
    if functions.hasDemands { noteDemand(ofQueue: function) }
  }

  mutating func dequeue(_ call: Call) {
    let function = call.pointee.queue
    CallTable.removePlace(call, from: &functions[function].queue)
    users[call.pointee.user].queuedCalls -= 1
    if call.pointee.caller.slot != .none { peers[call.pointee.caller.slot].queuedCalls -= 1 }
    functions.queueChanged(function)
    call.pointee.queue = .none
  }

  /// Dispatches waiting calls, first come first served, while there are places.
  mutating func serveQueue(_ function: Slot, now: UInt64, into actions: inout ActionBuffer) {
    while let call = functions[function].queue.first, let place = findPlace(functions.pointer(to: function)) {
      // Time may have passed that nobody has told of yet.
      if call.pointee.deadlineMilliseconds <= now / 1_000_000 {
        hitDeadline(call, now: now, into: &actions)
      } else if place.registration.pointee.wantsCaller, Int(call.pointee.metadataBytes) > Self.roomForMetadata {
        end(call, .invalidArgument, now: now, into: &actions) { name, _ in "\(name): \(Self.noRoomForMetadata)" }
      } else if call.pointee.flags.has(.descriptors), !place.worker.pointee.takesDescriptors {
        end(call, .invalidArgument, now: now, into: &actions) { name, _ in "\(name): \(Self.noDescriptors)" }
      } else {
        dequeue(call)
        dispatch(call, to: place, now: now, into: &actions)
      }
    }
  }

  /// A function has a new registration: calls that now belong to it come over, and as many as there are places start.
  mutating func adoptQueued(_ function: Slot, now: UInt64, into actions: inout ActionBuffer) {
    if functions[function].registrations.count == 1 { moveQueued(to: function) }
    serveQueue(function, now: now, into: &actions)
    endExcess(of: function, now: now, into: &actions)
  }

  /// Calls in other queues that now belong to a function come over.
  mutating func moveQueued(to function: Slot) {
    let isPattern = functions[function].isPattern
    let others =
      isPattern
      ? functions.withQueue : functions[function].name.withUnsafeBytes { functions.queuedPatterns(matching: $0) }
    for other in others where other != function {
      for call in waiting(in: other) where functions.serving(call.pointee.called) == function {
        move(call, to: function)
      }
    }
  }

  /// A function has lost its last registration: its waiting calls go to the pattern that serves their name now, which
  /// `targets` then has, or wait on if they said WAIT, or end with NOT_FOUND.
  mutating func rehomeQueue(
    of function: Slot, targets: inout [Slot], now: UInt64, into actions: inout ActionBuffer
  ) {
    for call in waiting(in: function) {
      if let serving = functions.serving(call.pointee.called) {
        move(call, to: serving)
        if !targets.contains(serving) { targets.append(serving) }
      } else if waitsForWorker(call) {
        move(call, to: call.pointee.called)
      } else {
        end(call, .notFound, now: now, into: &actions) { name, _ in
          "\(name): the last worker that had registered it went away while the call waited"
        }
      }
    }
  }

  /// Calls came into a queue from elsewhere. What is past its limit when all places are taken ends, the last first.
  mutating func endExcess(of function: Slot, now: UInt64, into actions: inout ActionBuffer) {
    while Int(functions[function].queue.count) > limits.queuedCallsPerFunction,
      let last = functions[function].queue.last
    {
      end(last, .overloaded, now: now, into: &actions) { name, limits in
        "\(name): \(limits.queuedCallsPerFunction) calls wait for it, the most that may"
      }
    }
  }

  private mutating func move(_ call: Call, to function: Slot) {
    if call.pointee.queue == function { return noteDemand(ofQueue: function) }
    dequeue(call)
    enqueue(call, in: function)
  }

  func waiting(in function: Slot) -> [Call] {
    var waiting: [Call] = []
    var next = functions[function].queue.first
    while let call = next {
      waiting.append(call)
      next = call.pointee.placeLink.next
    }
    return waiting
  }
}
