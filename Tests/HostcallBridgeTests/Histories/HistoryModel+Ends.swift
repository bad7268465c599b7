import HostcallWire

@testable import HostcallBridge

/// Peers that come and go, time, and the daemon's end.
extension HistoryModel {
  func connect(_ id: PeerID?, userID: UInt32, isLocal: Bool) throws(HistoryViolation) {
    let others = peers.count { $0.state != .gone && !$0.isLocal }
    let own = peers.count { $0.state != .gone && !$0.isLocal && $0.userID == userID }
    let isTaken =
      phase == .running && (isLocal || others < limits.connections && own < limits.connectionsPerUser)
    guard (id != nil) == isTaken else {
      throw HistoryViolation(description: "a connection was \(id == nil ? "refused" : "taken") with \(others) others")
    }
    guard let id else { return }
    guard places[id] == nil else { throw HistoryViolation(description: "\(id) was somebody else before") }
    places[id] = peers.count
    peers.append(
      Peer(
        id: id, state: isLocal ? .open : .greeting, isLocal: isLocal, userID: userID,
        helloDeadline: isLocal ? .max : nowMilliseconds + UInt64(limits.helloMilliseconds)))
  }

  func hello(_ peer: Int) throws(HistoryViolation) {
    guard peers[peer].state == .greeting else { return violate(peer) }
    peers[peer].state = .open
    guard let welcome = frames.first?.frame, welcome.kind == .welcome, frames.count == 1, welcome.id != 0 else {
      throw HistoryViolation(description: "peer \(peer) got no WELCOME, but \(frames)")
    }
    guard !peers.contains(where: { $0.session == welcome.id }) else {
      throw HistoryViolation(description: "the session \(welcome.id) is somebody else's")
    }
    peers[peer].session = welcome.id
    peers[peer].streamBytes = frames[0].end
    frames = []
  }

  func leave(_ peer: Int) {
    guard peers[peer].state == .open else { return }
    peers[peer].state = .leaving
    retire(Array(peers[peer].registrations.values))
  }

  /// The peer is gone; so many of the bytes for it had left.
  func gone(_ peer: Int, sentBytes: Int) {
    peers[peer].state = .closing
    for call in active where calls[call].caller == peer && [.queued, .running].contains(calls[call].state) {
      if calls[call].has(.noReply) {
        calls[call].isOrphan = true
        peers[peer].callsInFlight -= 1
      } else {
        end(call, .callerLost, tellsCaller: false)
      }
    }
    for call in peers[peer].work {
      leavePlace(call)
      guard calls[call].state == .running else {
        forget(call)
        continue
      }
      let hasLeft = calls[call].invokeEnd <= sentBytes
      let isIdempotent = calls[call].has(.idempotent) || registrations[calls[call].registration].isIdempotent
      if !hasLeft, !calls[call].isStored, !cannotStore(calls[call].storedBytes, for: calls[call].caller) {
        setStored(call, true)
      }
      calls[call].worker = nil
      calls[call].results.held += calls[call].results.credit
      calls[call].results.credit = 0
      if hasLeft { calls[call].losses += 1 }
      if !calls[call].hasBegun, isIdempotent || !hasLeft, calls[call].isStored, calls[call].attempts <= limits.resends,
        calls[call].losses < limits.workersLostPerCall
      {
        calls[call].state = .queued
        calls[call].due = calls[call].deadline
        again.append(call)
      } else {
        expectResult(of: call, .workerLost)
        settleOutcome(call)
        forget(call)
      }
    }
    again.sort()
    retire(Array(peers[peer].registrations.values))
    peers[peer].state = .gone
    peers[peer].bound = [:]
    peers[peer].subscriptions = []
    peers[peer].events = []
    peers[peer].sleeping = [:]
  }

  func hitTime() {
    let milliseconds = now / 1_000_000
    for call in active where [.queued, .running].contains(calls[call].state) && calls[call].due <= milliseconds {
      end(call, .timeout)
    }
    for call in active where calls[call].state == .abandoned && calls[call].due <= milliseconds {
      calls[call].wasReleased = true
      leavePlace(call)
      forget(call)
    }
    for peer in peers.indices where peers[peer].state == .greeting && peers[peer].helloDeadline <= milliseconds {
      violate(peer)
    }
    if case .draining(let until) = phase, until <= milliseconds {
      for call in active where [.queued, .running].contains(calls[call].state) { end(call, .shuttingDown) }
    }
  }

  func stop(graceMilliseconds: UInt32) {
    guard phase == .running else { return }
    phase = .draining(untilMilliseconds: nowMilliseconds + UInt64(graceMilliseconds))
    for peer in peers.indices where !peers[peer].isLocal {
      expect(ExpectedFrame(peer: peer, kind: .goaway, statuses: [.shuttingDown], id: 0, text: .sentence))
    }
  }

  /// Milliseconds of the first thing that time alone brings about.
  var firstDue: UInt64? {
    var first = UInt64.max
    for call in active { first = min(first, calls[call].due) }
    for peer in peers where peer.state == .greeting { first = min(first, peer.helloDeadline) }
    if case .draining(let until) = phase { first = min(first, until) }
    return first == .max ? nil : first
  }
}
