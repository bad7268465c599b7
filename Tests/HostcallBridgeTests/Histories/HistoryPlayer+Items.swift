import HostcallTestSupport
import HostcallWire

@testable import HostcallBridge

/// Items, credit and events.
extension HistoryPlayer {
  /// A call with items, and whether its worker is meant, seldom another one.
  private func stream() -> (peer: Int, id: UInt64, call: Int, isWorker: Bool)? {
    let isWorker = random.chance(50)
    let streams = model.active.filter { call in
      let call = model.calls[call]
      guard call.wantsItems || call.has(.open), !call.isOrphan else { return random.chance(2) }
      return isWorker ? call.worker != nil && call.state != .queued : call.state != .abandoned
    }
    guard !streams.isEmpty else { return nil }
    let call = random.pick(streams)
    let found = model.calls[call]
    let peer = isWorker ? found.worker : found.caller
    guard let peer, model.isLive(peer), let id = isWorker ? found.correlation : found.request else { return nil }
    return (peer, id, call, isWorker)
  }

  /// A peer and an id that stands for nothing of its own.
  private func strangeID() -> (peer: Int, id: UInt64)? {
    guard let peer = anyLive() else { return nil }
    return (peer, random.pick(model.byCorrelation.keys.sorted() + [random.next() | 1, 1 << 63]))
  }

  func item() throws(HistoryViolation) {
    var item = HistoryModel.ItemRequest(
      id: 0, place: 0, payload: payload([0, 1, 30, 200]), encoding: encoding(), isLast: random.chance(3))
    var sender = 0
    if random.chance(95) {
      guard let (peer, id, call, isWorker) = stream() else { return }
      let flow = isWorker ? model.calls[call].results : model.calls[call].arguments
      // Mostly what is allowed.
      item.isLast = !isWorker && random.chance(30)
      if flow.credit == 0, random.chance(97) {
        guard item.isLast else { return }
        item.payload = []
      }
      if !isWorker, model.calls[call].argumentsHaveEnded, random.chance(97) { return }
      item.place = random.chance(1) ? flow.next + 1 : flow.next
      (sender, item.id) = (peer, id)
    } else {
      guard let (peer, id) = strangeID() else { return }
      (sender, item.id) = (peer, id)
    }
    try step("peer \(sender) sends \(item)") {
      self.peer(sender)?.send(
        FrameHeader(
          kind: .item, flags: item.isLast ? .last : [], encoding: item.encoding, id: item.id, aux: item.place),
        payload: item.payload)
    } _: {
      model.item(sender, item)
    }
  }

  func credit() throws(HistoryViolation) {
    let items = random.pick([0, 1, 2, 5, 100])
    guard let (peer, id) = random.chance(95) ? stream().map({ ($0.peer, $0.id) }) : strangeID() else { return }
    try step("peer \(peer) gives \(items) credit for \(id)") {
      self.peer(peer)?.credit(id, UInt32(items))
    } _: {
      model.credit(peer, id: id, items: UInt32(items))
    }
  }

  func subscribe() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    let name = random.pick(Self.subjects)
    let request = requestID(of: peer)
    try step("peer \(peer) subscribes to \(name), request \(request)") {
      self.peer(peer)?.send(FrameHeader(kind: .subscribe, id: request), name: name)
    } _: {
      model.subscribe(peer, request: request, name: name)
    }
  }

  func unsubscribe() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    let mine = model.peers[peer].subscriptions.sorted()
    let name = random.pick(mine.isEmpty || random.chance(5) ? Self.subjects : mine)
    let request = requestID(of: peer)
    try step("peer \(peer) unsubscribes from \(name), request \(request)") {
      self.peer(peer)?.send(FrameHeader(kind: .unsubscribe, id: request), name: name)
    } _: {
      model.unsubscribe(peer, request: request, name: name)
    }
  }

  func publish() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    let name = random.pick(["a", "a.b", "a.b.c", "b", "c"])
    let request = random.chance(50) ? 0 : requestID(of: peer)
    let (payload, metadata) = (payload([0, 5, 80]), metadata())
    try step("peer \(peer) publishes \(name) with \(payload.count) bytes, request \(request)") {
      self.peer(peer)?.send(
        FrameHeader(kind: .publish, id: request), name: name, metadata: metadata, payload: payload)
    } _: { () throws(HistoryViolation) in
      try model.publish(peer, request: request, name: name, payload: payload, metadata: metadata)
    }
  }
}
