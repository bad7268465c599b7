import HostcallTestSupport
import HostcallWire

@testable import HostcallBridge

/// Actions around peers, time and the daemon's end.
extension HistoryPlayer {
  func connect() throws(HistoryViolation) {
    let isLocal = random.chance(8)
    let userID = UInt32(1_000 + random.below(3))
    var id: PeerID?
    try step("\(isLocal ? "a local peer" : "a peer") \(model.peers.count) connects") {
      id = harness.connectWithoutHello(userID: userID, isLocal: isLocal)?.id
    } _: { () throws(HistoryViolation) in
      try model.connect(id, userID: userID, isLocal: isLocal)
      if isLocal, let id { model.peers[model.peers.count - 1].session = harness.bridge.peers[id.slot].session }
    }
    if id != nil, !isLocal, random.chance(90) { try hello(model.peers.count - 1) }
  }

  func hello(_ peer: Int) throws(HistoryViolation) {
    try step("peer \(peer) says HELLO") {
      self.peer(peer)?.hello()
    } _: { () throws(HistoryViolation) in
      try model.hello(peer)
    }
  }

  func goaway() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    try step("peer \(peer) says GOAWAY") {
      self.peer(peer)?.goaway()
    } _: {
      model.leave(peer)
    }
  }

  func violate() throws(HistoryViolation) {
    guard let peer = any(where: { [.greeting, .open, .leaving, .closing].contains(model.peers[$0].state) }) else {
      return
    }
    let isGreeting = model.peers[peer].state == .greeting
    let kind = random.below(2)
    try step("peer \(peer) breaks the protocol") {
      if isGreeting || kind == 0 {
        self.peer(peer)?.send(FrameHeader(kind: .ping, id: 1), payload: Array(repeating: 0, count: 65))
      } else {
        self.peer(peer)?.hello()
      }
    } _: {
      if model.peers[peer].state != .closing { model.violate(peer) }
    }
  }

  func ping() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    try step("peer \(peer) pings") {
      self.peer(peer)?.ping(5)
    } _: {
      model.expect(ExpectedFrame(peer: peer, kind: .pong, statuses: [.ok], id: 5, text: .exactly([1, 2])))
    }
  }

  func backlog() throws(HistoryViolation) {
    guard let peer = any(where: { model.peers[$0].state != .gone }) else { return }
    try step("peer \(peer) is backlogged") {
      harness.bridge.peerIsBacklogged(model.peers[peer].id)
    } _: {
      model.peers[peer].isBacklogged = true
    }
  }

  func unbacklog() throws(HistoryViolation) {
    guard let peer = any(where: { model.peers[$0].isBacklogged && model.peers[$0].state != .gone }) else { return }
    try step("peer \(peer) can take more") {
      harness.fact { $0.peerCanTakeMore(model.peers[peer].id, now: harness.now, into: &$1) }
    } _: {
      model.peers[peer].isBacklogged = false
    }
  }

  func taken() throws(HistoryViolation) {
    guard let peer = any(where: { model.peers[$0].state != .gone }) else { return }
    let unsent = random.chance(50) ? 0 : random.below(model.peers[peer].streamBytes - model.peers[peer].sentBytes + 1)
    let sentBytes = model.peers[peer].streamBytes - unsent
    try step("\(sentBytes) bytes for peer \(peer) have left") {
      harness.fact {
        $0.peerHasTaken(model.peers[peer].id, sentBytes: UInt64(sentBytes), now: harness.now, into: &$1)
      }
    } _: {
      model.peers[peer].sentBytes = sentBytes
    }
  }

  func gone() throws(HistoryViolation) {
    // Those that run streams which have not begun are lost more often: another worker may have them.
    let streaming = model.active.compactMap { call in
      let call = model.calls[call]
      return call.state == .running && call.wantsItems && !call.hasBegun ? call.worker : nil
    }
    let chosen =
      !streaming.isEmpty && random.chance(50)
      ? random.pick(streaming) : any(where: { model.peers[$0].state != .gone })
    guard let place = chosen, let peer = self.peer(place) else { return }
    var sentBytes = peer.stream.count
    let ends = model.peers[place].work.map { model.calls[$0].invokeEnd }
    switch random.below(4) {
    case 0: sentBytes = random.below(sentBytes + 1)
    case 1 where !ends.isEmpty: sentBytes = random.pick(ends)
    case 2 where !ends.isEmpty: sentBytes = random.pick(ends) - 1
    default: break
    }
    try gone(place, sentBytes: sentBytes)
  }

  func gone(_ place: Int, sentBytes: Int) throws(HistoryViolation) {
    try step("peer \(place) is gone, \(sentBytes) bytes had left") {
      self.peer(place)?.gone(sentBytes: sentBytes)
    } _: {
      model.gone(place, sentBytes: sentBytes)
    }
  }

  func time() throws(HistoryViolation) {
    let spans: [UInt64] = [1, 999_999, 1_000_000, 3_700_000, 20_000_000, 100_000_000, 1_000_000_000, 5_000_000_000]
    let nanoseconds = random.chance(3) ? 7_200_000_000_000 : random.next() % random.pick(spans) + 1
    try pass(nanoseconds: nanoseconds, isTold: random.chance(85))
  }

  func pass(nanoseconds: UInt64, isTold: Bool = true) throws(HistoryViolation) {
    try step("\(nanoseconds) ns pass\(isTold ? "" : ", unnoticed")") {
      harness.pass(nanoseconds: nanoseconds)
      if isTold { harness.hitTime() }
    } _: {
      if isTold { model.hitTime() }
    }
    let wake = harness.bridge.nextWakeMilliseconds()
    if isTold, let wake, wake <= harness.now / 1_000_000 {
      throw HistoryViolation(description: "it wakes at \(wake), which has passed")
    }
  }

  func stop() throws(HistoryViolation) {
    let grace = UInt32(random.pick([0, 5, 1_000]))
    try step("the daemon stops within \(grace) ms") {
      harness.stop(graceMilliseconds: grace)
    } _: {
      model.stop(graceMilliseconds: grace)
    }
  }

  /// Another bridge takes up where this one is; what slept because others kept it out may wake.
  func handOver() throws(HistoryViolation) {
    let hasLocalPeers = model.peers.contains { $0.state != .gone && $0.isLocal }
    guard harness.bridge.canBeHandedOver, !hasLocalPeers else { return }
    var problem: (any Error)?
    try step("another process takes over") {
      do { try harness.handOver() } catch { problem = error }
    } _: { () throws(HistoryViolation) in
      if let problem { throw HistoryViolation(description: "the state is not taken over: \(problem)") }
      _ = model.setPolicy(model.policy)
    }
  }
}
