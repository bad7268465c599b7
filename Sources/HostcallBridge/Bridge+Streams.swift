import HostcallWire

/// ITEM and CREDIT (protocol section 4, *Streams*).
///
/// An id is taken as that of a call which the peer runs, where there is one, and else as a request of its own. A peer
/// that is both caller and worker keeps them apart by request ids with the highest bit set, which no correlation id has.
extension Bridge {
  mutating func item(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    if let call = callInHand(CorrelationID(rawValue: frame.header.id), of: slot) {
      if call.pointee.state == .running {
        resultItem(frame, of: call, from: slot, into: &actions)
      } else {
        reject(frame.header.id, .late, to: slot, into: &actions)
      }
    } else if let call = requests.find(caller: slot, request: frame.header.id).map({ calls[$0] }) {
      argumentItem(frame, of: call, from: slot, into: &actions)
    } else {
      rejectUnlessOfCaller(frame.header.id, from: slot, into: &actions)
    }
  }

  mutating func credit(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    if let call = callInHand(CorrelationID(rawValue: frame.header.id), of: slot) {
      guard call.pointee.state == .running else { return reject(frame.header.id, .late, to: slot, into: &actions) }
      guard call.pointee.flags.has(.open) else { return }
      streams[call.pointee.stream].hasBegun = true
      streams[call.pointee.stream].arguments.give(frame.header.aux)
      passArgumentCredit(of: call, into: &actions)
    } else if let call = requests.find(caller: slot, request: frame.header.id).map({ calls[$0] }) {
      // A plain call has no items, whatever its caller says later.
      guard call.pointee.wantsItems else { return }
      streams[call.pointee.stream].results.give(frame.header.aux)
      passResultCredit(of: call, into: &actions)
    } else {
      rejectUnlessOfCaller(frame.header.id, from: slot, into: &actions)
    }
  }

  /// The running or abandoned call of this id that the worker holds.
  private func callInHand(_ id: CorrelationID, of slot: Slot) -> Call? {
    guard let call = calls.find(id), call.pointee.worker == peers[slot].id,
      call.pointee.state == .running || call.pointee.state == .abandoned
    else { return nil }
    return call
  }

  /// An id that stands for nothing: a worker is told, a caller's RESULT is on the way. Who may be either is told only
  /// of calls that it had.
  private mutating func rejectUnlessOfCaller(_ id: UInt64, from slot: Slot, into actions: inout ActionBuffer) {
    if let call = calls.find(CorrelationID(rawValue: id)), call.pointee.worker == peers[slot].id {
      reject(id, call.pointee.wasCompleted ? .duplicate : .late, to: slot, into: &actions)
    } else if peers[slot].registrationsGiven > 0, !peers[slot].hasCalled {
      reject(id, .unknownCall, to: slot, into: &actions)
    }
  }

  // MARK: Items

  private mutating func resultItem(
    _ frame: DecodedFrame, of call: Call, from slot: Slot, into actions: inout ActionBuffer
  ) {
    let header = frame.header
    guard !header.flags.has(.last) else {
      return violate(slot, "an ITEM of the worker has the flag LAST, which is the caller's", into: &actions)
    }
    guard call.pointee.wantsItems, streams[call.pointee.stream].results.credit > 0 else {
      return violate(slot, "ITEM for the call \(header.id) without credit", into: &actions)
    }
    guard header.aux == streams[call.pointee.stream].results.nextPlace else {
      return violate(slot, outOfOrder(header, streams[call.pointee.stream].results), into: &actions)
    }
    streams[call.pointee.stream].hasBegun = true
    streams[call.pointee.stream].results.spend()
    passOn(frame, as: call.pointee.request, to: call.pointee.caller.slot, into: &actions)
    passResultCredit(of: call, into: &actions)
  }

  private mutating func argumentItem(
    _ frame: DecodedFrame, of call: Call, from slot: Slot, into actions: inout ActionBuffer
  ) {
    let header = frame.header
    guard call.pointee.flags.has(.open) else {
      return violate(slot, "ITEM for the request \(header.id), which is not OPEN", into: &actions)
    }
    let stream = call.pointee.stream
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
      if call.pointee.state == .running { endArguments(of: call, into: &actions) }
      return
    }
    streams[stream].arguments.spend()
    passOn(frame, as: call.pointee.id.rawValue, to: call.pointee.worker.slot, into: &actions)
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
  private mutating func endArguments(of call: Call, into actions: inout ActionBuffer) {
    send(
      FrameHeader(kind: .item, flags: .last, id: call.pointee.id.rawValue), to: call.pointee.worker.slot, into: &actions
    )
  }

  // MARK: Credit

  /// Credit of the caller goes to the worker, as long as the caller reads.
  mutating func passResultCredit(of call: Call, into actions: inout ActionBuffer) {
    guard call.pointee.state == .running, canTakeItems(call.pointee.caller.slot) else { return }
    let items = streams[call.pointee.stream].results.pass(limit: UInt32(limits.streamItemsAhead))
    if items > 0 {
      send(
        FrameHeader(kind: .credit, id: call.pointee.id.rawValue, aux: items), to: call.pointee.worker.slot,
        into: &actions)
    }
  }

  /// Credit of the worker goes to the caller, as long as the worker reads.
  mutating func passArgumentCredit(of call: Call, into actions: inout ActionBuffer) {
    guard call.pointee.state == .running, canTakeItems(call.pointee.worker.slot) else { return }
    let items = streams[call.pointee.stream].arguments.pass(limit: UInt32(limits.streamItemsAhead))
    if items > 0 {
      send(
        FrameHeader(kind: .credit, id: call.pointee.request, aux: items), to: call.pointee.caller.slot, into: &actions)
    }
  }

  private mutating func canTakeItems(_ receiver: Slot) -> Bool {
    !peers[receiver].isBacklogged && !isFull(receiver)
  }

  /// A peer reads again: those who send items to it may go on.
  mutating func passHeldCredit(for slot: Slot, into actions: inout ActionBuffer) {
    guard streams.count > 0 else { return }
    var next = peers[slot].calls.first
    while let call = next {
      if call.pointee.wantsItems { passResultCredit(of: call, into: &actions) }
      next = call.pointee.callerLink.next
    }
    next = peers[slot].work.first
    while let call = next {
      if call.pointee.stream != .none, call.pointee.flags.has(.open) { passArgumentCredit(of: call, into: &actions) }
      next = call.pointee.placeLink.next
    }
  }

  // MARK: The life of a stream

  /// A call with items is accepted.
  mutating func openStream(of call: Call, credit: UInt32) {
    guard credit > 0 || call.pointee.flags.has(.open) else { return }
    call.pointee.stream = streams.allocate()
    call.pointee.wantsItems = credit > 0
    streams[call.pointee.stream].results.give(credit)
  }

  /// What INVOKE has to say: the credit that the worker has from the beginning.
  mutating func startStream(of call: Call) -> UInt32 {
    call.pointee.stream == .none
      ? 0 : streams[call.pointee.stream].results.pass(limit: UInt32(limits.streamItemsAhead), isUrgent: true)
  }

  /// What follows INVOKE.
  mutating func continueStream(of call: Call, into actions: inout ActionBuffer) {
    if call.pointee.stream != .none, streams[call.pointee.stream].argumentsHaveEnded {
      endArguments(of: call, into: &actions)
    }
  }

  /// The worker is lost. Whether another one could begin from the start.
  mutating func canStreamAgain(_ call: Call) -> Bool {
    guard call.pointee.stream != .none else { return true }
    streams[call.pointee.stream].results.takeBack()
    return !streams[call.pointee.stream].hasBegun
  }

  /// The call has its outcome.
  mutating func closeStream(of call: Call) {
    guard call.pointee.stream != .none else { return }
    streams.release(call.pointee.stream)
    call.pointee.stream = .none
    call.pointee.wantsItems = false
  }
}
