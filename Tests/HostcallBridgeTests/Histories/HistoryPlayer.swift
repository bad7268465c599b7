import HostcallTestSupport
import HostcallWire

@testable import HostcallBridge

/// Plays the steps of a history to a bridge and to the model, and compares after each.
final class HistoryPlayer {
  let harness: BridgeHarness
  let model: HistoryModel
  var random = SeededGenerator(seed: 0)
  /// What was done, for people; only kept where it is wanted.
  private(set) var log: [String] = []
  private let keepsLog: Bool
  private(set) var played = 0

  static let names = ["a", "a.b", "a.b.c", "a.c", "b", "hostcall.x"]
  static let patterns = ["*", "a.*", "a.b.*", "hostcall.*"]
  /// None that the daemon's own events match: what these say is tested rule by rule.
  static let subjects = ["a", "a.b", "a.*", "a.b.*", "b"]

  init(limits: Limits, keepsLog: Bool = false) {
    harness = BridgeHarness(limits: limits)
    model = HistoryModel(limits: limits, now: harness.now)
    self.keepsLog = keepsLog
  }

  func play(_ steps: [HistoryStep]) throws(HistoryViolation) {
    for step in steps {
      random = SeededGenerator(seed: step.seed)
      try play(step.action)
      played += 1
    }
    for peer in model.peers.indices where model.peers[peer].state != .gone {
      try gone(peer, sentBytes: harness.peers[model.peers[peer].id]?.stream.count ?? 0)
    }
    try compareReports()
    // What nobody waits for may wait on until its deadline.
    try pass(nanoseconds: UInt64(model.limits.timeoutMilliseconds + 1) * 1_000_000)
    guard harness.bridge.remains.isEmpty else {
      throw HistoryViolation(description: "all peers are gone, and there remain \(harness.bridge.remains)")
    }
    if let call = model.calls.firstIndex(where: { $0.outcomes != 1 }) {
      throw HistoryViolation(description: "call \(call) has \(model.calls[call].outcomes) outcomes")
    }
  }

  func note(_ text: @autoclosure () -> String) {
    if keepsLog { log.append(text()) }
  }

  /// States a fact to the bridge and then to the model.
  func step(
    _ text: @autoclosure () -> String, _ fact: () -> Void,
    _ tell: () throws(HistoryViolation) -> Void
  ) throws(HistoryViolation) {
    note(text())
    harness.sent = []
    fact()
    model.now = harness.now
    model.frames = harness.sent
    model.endedBeforeStep = model.endedCalls
    for sent in harness.sent { note("    peer \(model.places[sent.peer] ?? -1) gets \(sent.frame)") }
    try tell()
    try model.settle()
    try compare()
    if played % 16 == 0 { try compareReports() }
  }

  func peer(_ place: Int) -> HarnessPeer? { harness.peers[model.peers[place].id] }

  /// A peer that may send what it likes.
  func anyLive() -> Int? { any { model.isLive($0) } }

  func any(where isWanted: (Int) -> Bool) -> Int? {
    let places = model.peers.indices.filter(isWanted)
    return places.isEmpty ? nil : random.pick(places)
  }

  // MARK: Comparing

  private func compare() throws(HistoryViolation) {
    func same(_ what: String, _ found: Int, _ wanted: Int) throws(HistoryViolation) {
      if found != wanted { throw HistoryViolation(description: "\(what): \(found), and not \(wanted)") }
    }
    let waiting = model.active.count { model.calls[$0].due != .max }
    let streams = model.active.count { call in
      let call = model.calls[call]
      return call.state != .abandoned && (call.wantsItems || call.has(.open))
    }
    try same("stored bytes", harness.bridge.calls.storedBytes, model.storedBytes)
    try same("calls without an outcome", harness.bridge.outstanding, model.outstanding)
    try same("calls", harness.bridge.calls.active, model.active.count)
    try same("deadlines", harness.bridge.deadlines.count, waiting)
    try same("streams", harness.bridge.streams.count, streams)
    try same("requests", harness.bridge.requests.count, model.peers.reduce(0) { $0 + $1.requests.count })
    try same(
      "registrations", harness.bridge.registrations.count, model.registrations.count { $0.isActive || $0.held > 0 })
    let limits = model.limits
    guard model.storedBytes <= limits.storedPayloadBytes, model.active.count <= limits.callsInFlight,
      model.peers.allSatisfy({ $0.callsInFlight <= limits.callsInFlightPerConnection }),
      model.queues().allSatisfy({ $0.value.count <= limits.queuedCallsPerFunction }),
      model.peers.indices.allSatisfy({ peer in
        model.peers[peer].isLocal || model.ofUser(peer, \.work.count) <= limits.runningCallsPerUser
      })
    else { throw HistoryViolation(description: "a limit is exceeded") }
    let wake = harness.bridge.nextWakeMilliseconds()
    guard (wake == nil) == (model.firstDue == nil), wake ?? 0 <= model.firstDue ?? 0 else {
      throw HistoryViolation(description: "it wakes at \(wake ?? 0), and \(model.firstDue ?? 0) is the first deadline")
    }
    if harness.isDrained != (model.phase == .drained) { throw HistoryViolation(description: "drained or not drained") }
    for peer in model.peers where peer.state != .gone {
      if harness.peers[peer.id]?.isClosed != (peer.state == .closing) {
        throw HistoryViolation(description: "\(peer) was closed, or was not")
      }
    }
  }

  private func compareReports() throws(HistoryViolation) {
    let bridge = HistoryReports(bridge: harness)
    let wanted = HistoryReports(model: model)
    if bridge != wanted { throw HistoryViolation(description: "the reports tell \(bridge), and not \(wanted)") }
  }
}
