import HostcallWire

@testable import HostcallBridge

/// What follows from a step: calls find workers, frames are sent, and some things hold always.
extension HistoryModel {
  func settle() throws(HistoryViolation) {
    for (place, sent) in frames.enumerated() {
      if sent.frame.kind == .invoke { try invoke(sent, at: place) }
      if sent.frame.kind == .credit { try credited(sent) }
      if sent.frame.kind == .result, sent.frame.status == .timeout { endOverdue(toldBy: sent) }
      if let peer = places[sent.peer] { peers[peer].streamBytes = sent.end }
    }
    sendWaiting()
    try checkNothingWaitsInVain()
    try checkNoCreditIsHeldInVain()
    try checkNoEventWaitsInVain()
    endExcess()
    for sent in frames where sent.frame.kind != .invoke && sent.frame.kind != .credit {
      try meet(sent, peer: places[sent.peer] ?? -1)
    }
    if let missing = expected.first { throw HistoryViolation(description: "nobody sent \(missing)") }
    if outstanding == 0, phase != .running { phase = .drained }
    again = []
  }

  /// An INVOKE: the first in its queue, to a worker that may get it, and with everything that it has to carry.
  private func invoke(_ sent: SentFrame, at place: Int) throws(HistoryViolation) {
    let frame = sent.frame
    let peer = places[sent.peer] ?? -1
    guard let registration = peers[peer].registrations[frame.header.function] else {
      throw HistoryViolation(description: "peer \(peer) has no registration for \(frame)")
    }
    let function = registrations[registration]
    endOverdue(function.name)
    let queue = queue(function.name)
    guard let call = queue.first else { throw HistoryViolation(description: "nothing waits for \(frame)") }
    guard candidates(function.name).contains(registration) else {
      throw HistoryViolation(description: "peer \(peer) has no place, or others have less to do: \(frame)")
    }
    try identify(call, frame.id)
    let isIdempotent = calls[call].has(.idempotent) || function.isIdempotent
    var due = calls[call].deadline
    if function.timeout > 0 { due = min(due, nowMilliseconds + UInt64(function.timeout)) }
    let metadata = Metadata.joined(caller(of: call, for: function), calls[call].metadata)
    let isRight =
      frame.payload == calls[call].payload && frame.header.encoding == calls[call].encoding
      && frame.flags == calls[call].flags.intersection(.open).union(isIdempotent ? .idempotent : [])
      && Int(frame.header.aux) == min(calls[call].results.held, limits.streamItemsAhead) && frame.status == .ok
      && frame.name == (isPattern(function.name) ? calls[call].name : "")
      && UInt64(frame.header.timeoutMilliseconds) == (due > nowMilliseconds ? due - nowMilliseconds : 1)
      && frame.metadata == metadata
    guard isRight else { throw HistoryViolation(description: "call \(call) was sent as \(frame), of \(queue)") }
    // The RESULT of a REGISTER comes before the first INVOKE.
    guard !frames[place...].contains(where: { isRegistered($0, sent.peer, function.handle) }) else {
      throw HistoryViolation(description: "peer \(peer) does not know its handle yet: \(frame)")
    }
    calls[call].state = .running
    calls[call].results.held -= Int(frame.header.aux)
    calls[call].results.credit = Int(frame.header.aux)
    if calls[call].argumentsHaveEnded {
      expect(ExpectedFrame(peer: peer, kind: .item, statuses: [.ok], id: frame.id, flags: .last))
    }
    calls[call].attempts += 1
    calls[call].due = due
    calls[call].worker = peer
    calls[call].registration = registration
    calls[call].invokeEnd = sent.end
    setStored(call, isIdempotent)
    registrations[registration].held += 1
    peers[peer].work.append(call)
    if calls[call].attempts > limits.resends + 1 {
      throw HistoryViolation(description: "call \(call) is sent too often")
    }
  }

  private func isRegistered(_ sent: SentFrame, _ peer: PeerID, _ handle: UInt32) -> Bool {
    sent.peer == peer && sent.frame.kind == .result && sent.frame.status == .ok && sent.frame.header.aux == handle
      && sent.frame.header.call == 0
  }

  private func caller(of call: Int, for function: Registration) -> [(String, String)] {
    guard function.wantsCaller else { return [] }
    let caller = peers[calls[call].caller]
    let session = caller.session.map { [("hostcall-caller-session", "\($0)")] } ?? []
    return [
      ("hostcall-caller-uid", "\(caller.userID)"), ("hostcall-caller-gid", "\(caller.userID + 1)"),
      ("hostcall-caller-pid", "\(caller.userID + 2)"),
    ] + session
  }

  /// A place is free: calls in front whose deadline has passed, which the bridge was not told yet, are not started.
  private func endOverdue(_ name: String) {
    for call in queue(name) {
      if calls[call].deadline > now / 1_000_000 { return }
      end(call, .timeout)
    }
  }

  /// The same, where telling a caller takes the place away again, for the caller is the worker: those behind wait on.
  private func endOverdue(toldBy sent: SentFrame) {
    guard let peer = places[sent.peer], let told = peers[peer].requests[sent.frame.id] else { return }
    let name = queueName(calls[told].name)
    guard calls[told].state == .queued, !candidates(name).isEmpty else { return }
    for call in queue(name) {
      if call > told || calls[call].deadline > now / 1_000_000 { return }
      end(call, .timeout)
    }
  }

  private func checkNothingWaitsInVain() throws(HistoryViolation) {
    for name in queues().keys where !candidates(name).isEmpty { endOverdue(name) }
    for (name, queue) in queues() where !candidates(name).isEmpty {
      throw HistoryViolation(description: "the calls \(queue) wait for \(name) although there is a place")
    }
  }

  /// Queues that met are past the limit: those who were to be sent again end first, then the last ones.
  private func endExcess() {
    for call in again.reversed() where calls[call].state == .queued {
      if queue(queueName(calls[call].name)).count > limits.queuedCallsPerFunction {
        expectResult(of: call, .workerLost)
        settleOutcome(call)
        forget(call)
      }
    }
    for (_, queue) in queues() where queue.count > limits.queuedCallsPerFunction {
      for call in queue[limits.queuedCallsPerFunction...].reversed() { end(call, .overloaded) }
    }
  }
}

extension Metadata {
  /// The daemon's entries and then the caller's.
  static func joined(_ first: [(String, String)], _ second: Metadata) -> Metadata {
    if first.isEmpty { return second }
    var metadata = Metadata()
    for (key, value) in first { metadata[key] = value }
    for entry in second.entries { metadata[entry.key] = entry.value }
    return metadata
  }
}
