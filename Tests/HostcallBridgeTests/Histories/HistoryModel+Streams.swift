import HostcallWire

@testable import HostcallBridge

/// ITEM and CREDIT.
extension HistoryModel {
  /// One way of a call's items.
  struct Flow {
    /// Credit that the receiver has given and the sender has not got.
    var held = 0
    /// Credit that the sender has got and not spent.
    var credit = 0
    var next: UInt32 = 0
  }

  struct ItemRequest {
    var id: UInt64
    var place: UInt32
    var payload: [UInt8]
    var encoding: PayloadEncoding
    var isLast: Bool
  }

  /// Whether the peer holds the call of this correlation id.
  func held(_ id: UInt64, by peer: Int) -> Int? {
    guard let call = byCorrelation[id], calls[call].worker == peer,
      calls[call].state == .running || calls[call].state == .abandoned
    else { return nil }
    return call
  }

  func item(_ peer: Int, _ item: ItemRequest) {
    if let call = held(item.id, by: peer) {
      guard calls[call].state == .running else { return reject(peer, item.id, [.late]) }
      let isRight = !item.isLast && calls[call].wantsItems && calls[call].results.credit > 0
      guard isRight, item.place == calls[call].results.next else { return violate(peer) }
      calls[call].results.credit -= 1
      calls[call].results.next += 1
      calls[call].hasBegun = true
      expectItem(item, for: calls[call].caller, as: calls[call].request)
    } else if let call = peers[peer].requests[item.id] {
      argument(peer, call, item)
    } else {
      rejectUnlessOfCaller(peer, item.id)
    }
  }

  private func argument(_ peer: Int, _ call: Int, _ item: ItemRequest) {
    let isBareEnd = item.isLast && item.payload.isEmpty
    guard calls[call].has(.open), !calls[call].argumentsHaveEnded, isBareEnd || calls[call].arguments.credit > 0,
      item.place == calls[call].arguments.next
    else { return violate(peer) }
    if item.isLast { calls[call].argumentsHaveEnded = true }
    let isEndOfNothing = isBareEnd && item.place == 0 && !calls[call].hasBegun
    if !isEndOfNothing {
      calls[call].hasBegun = true
      calls[call].arguments.credit = max(0, calls[call].arguments.credit - 1)
      calls[call].arguments.next += 1
    }
    if calls[call].state == .running {
      var item = item
      if isEndOfNothing { item.encoding = .raw }
      expectItem(item, for: calls[call].worker ?? -1, as: calls[call].correlation ?? 0)
    }
  }

  func credit(_ peer: Int, id: UInt64, items: UInt32) {
    if let call = held(id, by: peer) {
      guard calls[call].state == .running else { return reject(peer, id, [.late]) }
      guard calls[call].has(.open) else { return }
      calls[call].hasBegun = true
      calls[call].arguments.held += Int(items)
    } else if let call = peers[peer].requests[id] {
      if calls[call].wantsItems { calls[call].results.held += Int(items) }
    } else {
      rejectUnlessOfCaller(peer, id)
    }
  }

  private func reject(_ peer: Int, _ id: UInt64, _ statuses: Set<Status>) {
    expect(ExpectedFrame(peer: peer, kind: .rejected, statuses: statuses, id: id))
  }

  /// An id that stands for nothing that is there: of a worker it is rejected, of a caller it is nothing. Who is both may
  /// be told or not.
  private func rejectUnlessOfCaller(_ peer: Int, _ id: UInt64) {
    let isRejected = frames.contains { $0.peer == peers[peer].id && $0.frame.kind == .rejected && $0.frame.id == id }
    let wasItsCall = byCorrelation[id].map { calls[$0].worker == peer } ?? false
    let mustBe = !peers[peer].handlesGiven.isEmpty && !peers[peer].hasCalled
    guard isRejected || mustBe else { return }
    reject(peer, id, wasItsCall ? [.late, .duplicate, .unknownCall] : [.unknownCall])
  }

  private func expectItem(_ item: ItemRequest, for peer: Int, as id: UInt64) {
    expect(
      ExpectedFrame(
        peer: peer, kind: .item, statuses: [.ok], id: id, flags: item.isLast ? .last : [], encoding: item.encoding,
        text: .exactly(item.payload), aux: item.place))
  }

  // MARK: Credit on its way

  /// CREDIT that the bridge has sent: no more than was given, and no sender gets too far ahead.
  func credited(_ sent: SentFrame) throws(HistoryViolation) {
    let peer = places[sent.peer] ?? -1
    let items = Int(sent.frame.header.aux)
    func pass(_ flow: inout Flow) throws(HistoryViolation) {
      guard items > 0, items <= flow.held, flow.credit + items <= limits.streamItemsAhead else {
        throw HistoryViolation(description: "credit out of nothing, or too much ahead: \(sent.frame), \(flow)")
      }
      flow.held -= items
      flow.credit += items
    }
    if let call = held(sent.frame.id, by: peer), calls[call].state == .running {
      try pass(&calls[call].results)
    } else if let call = peers[peer].requests[sent.frame.id], calls[call].state == .running {
      try pass(&calls[call].arguments)
    } else {
      throw HistoryViolation(description: "peer \(peer) gets credit for nothing: \(sent.frame)")
    }
  }

  /// Whether the peer reads as fast as things come.
  func isReading(_ peer: Int) -> Bool {
    !peers[peer].isBacklogged
      && (peers[peer].isLocal
        || peers[peer].streamBytes - peers[peer].sentBytes <= limits.outputBytesPerConnection)
  }

  /// A sender that has used up half of what it may have gets more, if there is more and the receiver reads.
  func checkNoCreditIsHeldInVain() throws(HistoryViolation) {
    for call in active where calls[call].state == .running && (calls[call].wantsItems || calls[call].has(.open)) {
      guard let worker = calls[call].worker else { continue }
      for (flow, sender, receiver) in [
        (calls[call].results, worker, calls[call].caller), (calls[call].arguments, calls[call].caller, worker),
      ] where isReading(receiver) && isLive(sender) && isLive(receiver) {
        if flow.held > 0, flow.credit * 2 < limits.streamItemsAhead {
          throw HistoryViolation(description: "call \(call): credit is held for nothing: \(flow)")
        }
      }
    }
  }
}
