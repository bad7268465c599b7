import HostcallWire

/// ITEM and CREDIT (protocol section 4, *Streams*).
///
/// An id is taken as that of a call which the peer runs, where there is one, and else as a request of its own. A peer
/// that is both caller and worker keeps them apart by request ids with the highest bit set, which no correlation id has.
extension Bridge {
  mutating func item(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    if let call = callInHand(CorrelationID(rawValue: frame.header.id), of: slot) {
      if calls[call].state == .running {
        resultItem(frame, of: call, from: slot, into: &actions)
      } else {
        reject(frame.header.id, .late, to: slot, into: &actions)
      }
    } else if let call = requests.find(caller: slot, request: frame.header.id) {
      argumentItem(frame, of: call, from: slot, into: &actions)
    } else {
      rejectUnlessOfCaller(frame.header.id, from: slot, into: &actions)
    }
  }

  mutating func credit(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    if let call = callInHand(CorrelationID(rawValue: frame.header.id), of: slot) {
      guard calls[call].state == .running else { return reject(frame.header.id, .late, to: slot, into: &actions) }
      guard calls[call].flags.has(.open) else { return }
      streams[calls[call].stream].hasBegun = true
      streams[calls[call].stream].arguments.give(frame.header.aux)
      passArgumentCredit(of: call, into: &actions)
    } else if let call = requests.find(caller: slot, request: frame.header.id) {
      // A plain call has no items, whatever its caller says later.
      guard calls[call].wantsItems else { return }
      streams[calls[call].stream].results.give(frame.header.aux)
      passResultCredit(of: call, into: &actions)
    } else {
      rejectUnlessOfCaller(frame.header.id, from: slot, into: &actions)
    }
  }

  /// The running or abandoned call of this id that the worker holds.
  private func callInHand(_ id: CorrelationID, of slot: Slot) -> Slot? {
    guard Int(id.slot) < calls.records.count, calls[id.slot].turn == id.turn, calls[id.slot].worker == peers.id(slot),
      calls[id.slot].state == .running || calls[id.slot].state == .abandoned
    else { return nil }
    return id.slot
  }

  /// An id that stands for nothing: a worker is told, a caller's RESULT is on the way. Who may be either is told only
  /// of calls that it had.
  private mutating func rejectUnlessOfCaller(_ id: UInt64, from slot: Slot, into actions: inout ActionBuffer) {
    let call = CorrelationID(rawValue: id)
    if Int(call.slot) < calls.records.count, calls[call.slot].turn == call.turn,
      calls[call.slot].worker == peers.id(slot)
    {
      reject(id, calls[call.slot].wasCompleted ? .duplicate : .late, to: slot, into: &actions)
    } else if peers[slot].registrationsGiven > 0, !peers[slot].hasCalled {
      reject(id, .unknownCall, to: slot, into: &actions)
    }
  }

  // MARK: Items

  private mutating func resultItem(
    _ frame: DecodedFrame, of call: Slot, from slot: Slot, into actions: inout ActionBuffer
  ) {
    let header = frame.header
    guard !header.flags.has(.last) else {
      return violate(slot, "an ITEM of the worker has the flag LAST, which is the caller's", into: &actions)
    }
    guard calls[call].wantsItems, streams[calls[call].stream].results.credit > 0 else {
      return violate(slot, "ITEM for the call \(header.id) without credit", into: &actions)
    }
    guard header.aux == streams[calls[call].stream].results.nextPlace else {
      return violate(slot, outOfOrder(header, streams[calls[call].stream].results), into: &actions)
    }
    streams[calls[call].stream].hasBegun = true
    streams[calls[call].stream].results.spend()
    passOn(frame, as: calls[call].request, to: calls[call].caller.slot, into: &actions)
    passResultCredit(of: call, into: &actions)
  }

  private mutating func argumentItem(
    _ frame: DecodedFrame, of call: Slot, from slot: Slot, into actions: inout ActionBuffer
  ) {
    let header = frame.header
    guard calls[call].flags.has(.open) else {
      return violate(slot, "ITEM for the request \(header.id), which is not OPEN", into: &actions)
    }
    let stream = calls[call].stream
    guard !streams[stream].argumentsHaveEnded else {
      return violate(slot, "ITEM for the request \(header.id) after its last one", into: &actions)
    }
    // An end that is nothing but the end needs no credit: the worker has to keep nothing for it.
    let isBareEnd = header.flags.has(.last) && header.payloadBytes == 0
    guard isBareEnd || streams[stream].arguments.credit > 0 else {
      return violate(slot, "ITEM for the request \(header.id) without credit", into: &actions)
    }
    guard header.aux == streams[stream].arguments.nextPlace else {
      return violate(slot, outOfOrder(header, streams[stream].arguments), into: &actions)
    }
    if header.flags.has(.last) { streams[stream].argumentsHaveEnded = true }
    // The end of no arguments is told again to every worker that the call is sent to.
    if isBareEnd, header.aux == 0, !streams[stream].hasBegun {
      if calls[call].state == .running { endArguments(of: call, into: &actions) }
      return
    }
    streams[stream].arguments.spend()
    passOn(frame, as: calls.id(call).rawValue, to: calls[call].worker.slot, into: &actions)
    passArgumentCredit(of: call, into: &actions)
  }

  private func outOfOrder(_ header: FrameHeader, _ flow: ItemFlow) -> String {
    "ITEM \(header.aux) for \(header.id), where \(flow.nextPlace) is next"
  }

  /// An item on its way to the other side.
  private mutating func passOn(_ frame: DecodedFrame, as id: UInt64, to slot: Slot, into actions: inout ActionBuffer) {
    var header = FrameHeader(
      kind: .item, flags: frame.header.flags, encoding: frame.header.encoding, id: id, aux: frame.header.aux)
    header.metadataBytes = frame.header.metadataBytes
    send(
      header, to: slot, prefixStart: actions.end, sourceStart: Int(frame.header.nameBytes),
      sourceBytes: Int(frame.header.bodyBytes) - Int(frame.header.nameBytes), into: &actions)
  }

  /// Tells a worker that a call, which is OPEN, has no arguments.
  private mutating func endArguments(of call: Slot, into actions: inout ActionBuffer) {
    send(
      FrameHeader(kind: .item, flags: .last, id: calls.id(call).rawValue), to: calls[call].worker.slot, into: &actions)
  }

  // MARK: Credit

  /// Credit of the caller goes to the worker, as long as the caller reads.
  mutating func passResultCredit(of call: Slot, into actions: inout ActionBuffer) {
    guard calls[call].state == .running, canTakeItems(calls[call].caller.slot) else { return }
    let items = streams[calls[call].stream].results.pass(limit: UInt32(limits.streamItemsAhead))
    if items > 0 {
      send(
        FrameHeader(kind: .credit, id: calls.id(call).rawValue, aux: items), to: calls[call].worker.slot,
        into: &actions)
    }
  }

  /// Credit of the worker goes to the caller, as long as the worker reads.
  mutating func passArgumentCredit(of call: Slot, into actions: inout ActionBuffer) {
    guard calls[call].state == .running, canTakeItems(calls[call].worker.slot) else { return }
    let items = streams[calls[call].stream].arguments.pass(limit: UInt32(limits.streamItemsAhead))
    if items > 0 {
      send(FrameHeader(kind: .credit, id: calls[call].request, aux: items), to: calls[call].caller.slot, into: &actions)
    }
  }

  private func canTakeItems(_ receiver: Slot) -> Bool {
    !peers[receiver].isBacklogged && !isFull(receiver)
  }

  /// A peer reads again: those who send items to it may go on.
  mutating func passHeldCredit(for slot: Slot, into actions: inout ActionBuffer) {
    guard streams.count > 0 else { return }
    var call = peers[slot].calls.first
    while call != .none {
      if calls[call].wantsItems { passResultCredit(of: call, into: &actions) }
      call = calls[call].callerLink.next
    }
    call = peers[slot].work.first
    while call != .none {
      if calls[call].stream != .none, calls[call].flags.has(.open) { passArgumentCredit(of: call, into: &actions) }
      call = calls[call].placeLink.next
    }
  }

  // MARK: The life of a stream

  /// A call with items is accepted.
  mutating func openStream(of call: Slot, credit: UInt32) {
    guard credit > 0 || calls[call].flags.has(.open) else { return }
    calls[call].stream = streams.allocate()
    calls[call].wantsItems = credit > 0
    streams[calls[call].stream].results.give(credit)
  }

  /// What INVOKE has to say: the credit that the worker has from the beginning.
  mutating func startStream(of call: Slot) -> UInt32 {
    calls[call].stream == .none
      ? 0 : streams[calls[call].stream].results.pass(limit: UInt32(limits.streamItemsAhead), isUrgent: true)
  }

  /// What follows INVOKE.
  mutating func continueStream(of call: Slot, into actions: inout ActionBuffer) {
    if calls[call].stream != .none, streams[calls[call].stream].argumentsHaveEnded {
      endArguments(of: call, into: &actions)
    }
  }

  /// The worker is lost. Whether another one could begin from the start.
  mutating func canStreamAgain(_ call: Slot) -> Bool {
    guard calls[call].stream != .none else { return true }
    streams[calls[call].stream].results.takeBack()
    return !streams[calls[call].stream].hasBegun
  }

  /// The call has its outcome.
  mutating func closeStream(of call: Slot) {
    guard calls[call].stream != .none else { return }
    streams.release(calls[call].stream)
    calls[call].stream = .none
    calls[call].wantsItems = false
  }
}
