import HostcallWire

@testable import HostcallBridge

/// CALL, COMPLETE, CANCEL.
extension HistoryModel {
  struct CallRequest {
    var request: UInt64
    /// Nil where the handle was never given out.
    var name: String?
    var isByHandle = false
    var flags: FrameFlags
    var timeout: UInt32
    var payload: [UInt8]
    var metadata: Metadata
    var encoding: PayloadEncoding
    var credit: UInt32
  }

  func call(_ peer: Int, _ call: CallRequest) {
    if peers[peer].requests[call.request] != nil { return violate(peer) }
    let isSilent = call.flags.contains(.noReply)
    let bodyBytes = call.payload.count + call.metadata.encodedBytes
    if bodyBytes + (call.isByHandle ? 0 : call.name?.utf8.count ?? 0) > limits.frameBytes {
      if !isSilent { expectRefusal(peer, call.request, [.tooLarge]) }
      return
    }
    var refusals = refusals(peer, call)
    if refusals.isEmpty, let name = call.name {
      let candidates = candidates(queueName(name))
      let wouldExceed = cannotStore(bodyBytes, for: peer)
      let keeping = candidates.filter { registrations[$0].isIdempotent }
      if wouldExceed, candidates.isEmpty || call.flags.contains(.idempotent) || keeping.count == candidates.count {
        refusals.insert(.overloaded)
      } else if wouldExceed, !keeping.isEmpty, !frames.contains(where: { $0.frame.kind == .invoke }) {
        // One of the least loaded would keep it and another would not; the bridge chose the former.
        refusals.insert(.overloaded)
      }
    }
    guard refusals.isEmpty, let name = call.name else {
      if !isSilent { expectRefusal(peer, call.request, refusals) }
      return
    }
    let asked = call.timeout == 0 ? limits.defaultTimeoutMilliseconds : Int(call.timeout)
    let deadline = nowMilliseconds + UInt64(min(asked, limits.timeoutMilliseconds))
    calls.append(
      Call(
        caller: peer, request: call.request, name: name, flags: call.flags, payload: call.payload,
        metadata: call.metadata, encoding: call.encoding, deadline: deadline, due: deadline,
        wantsItems: call.credit > 0, results: Flow(held: Int(call.credit))))
    peers[peer].hasCalled = true
    active.append(calls.count - 1)
    setStored(calls.count - 1, true)
    peers[peer].callsInFlight += 1
    if !isSilent { peers[peer].requests[call.request] = calls.count - 1 }
    outstanding += 1
  }

  /// All reasons that there are to refuse a call, but for the bytes to be kept.
  private func refusals(_ peer: Int, _ call: CallRequest) -> Set<Status> {
    var refusals: Set<Status> = []
    if phase != .running { refusals.insert(.shuttingDown) }
    if peers[peer].callsInFlight >= limits.callsInFlightPerConnection { refusals.insert(.overloaded) }
    if active.count >= limits.callsInFlight { refusals.insert(.overloaded) }
    if !peers[peer].isLocal {
      let inFlight = callsOfUser(peer) { $0.state == .queued || $0.state == .running }
      if inFlight.count >= limits.callsInFlightPerUser { refusals.insert(.overloaded) }
    }
    if call.flags.contains(.noReply), call.credit > 0 || call.flags.contains(.open) {
      refusals.insert(.invalidArgument)
    }
    guard let name = call.name else { return refusals.union([.invalidArgument]) }
    if !isAllowed(.call, name, peer) { refusals.insert(.denied) }
    if serving(name) == nil, !call.flags.contains(.wait) { refusals.insert(.notFound) }
    if !call.isByHandle, cannotKnow(name) { refusals.insert(.overloaded) }
    let queue = queueName(name)
    if candidates(queue).isEmpty {
      let waiting = active.filter { calls[$0].state == .queued && calls[$0].caller == peer }
      let ofUser = peers[peer].isLocal ? [] : callsOfUser(peer) { $0.state == .queued }
      if self.queue(queue).count >= limits.queuedCallsPerFunction || waiting.count >= limits.queuedCallsPerConnection
        || ofUser.count >= limits.queuedCallsPerUser && !peers[peer].isLocal
      {
        refusals.insert(.overloaded)
      }
    }
    return refusals
  }

  func cannotKnow(_ name: String) -> Bool {
    let known = knownNames()
    return known.count >= limits.functions && !known.contains(name)
  }

  struct Completion {
    var id: UInt64
    var status: Status
    var payload: [UInt8]
    var metadata: Metadata
    var encoding: PayloadEncoding
  }

  func complete(_ peer: Int, _ completion: Completion) {
    func reject(_ statuses: Set<Status>) {
      expect(ExpectedFrame(peer: peer, kind: .rejected, statuses: statuses, id: completion.id))
    }
    guard let call = byCorrelation[completion.id], calls[call].worker == peer else { return reject([.unknownCall]) }
    switch calls[call].state {
    case .queued: reject([.unknownCall])
    case .ended:
      let isRemembered = endedCalls - calls[call].endedPlace < limits.rememberedOutcomes
      let status: Status = calls[call].wasReleased ? .late : .duplicate
      reject(isRemembered ? [status] : [status, .unknownCall])
    case .abandoned:
      if completion.status != .cancelled { reject([.late]) }
      leavePlace(call)
      forget(call)
    case .running:
      if completion.payload.count + completion.metadata.encodedBytes > limits.frameBytes {
        reject([.tooLarge])
        expectResult(of: call, .tooLarge)
      } else if !calls[call].has(.noReply) {
        expect(
          ExpectedFrame(
            peer: calls[call].caller, kind: .result, statuses: [completion.status], id: calls[call].request, call: call,
            flags: .fromWorker, encoding: completion.encoding, metadata: completion.metadata,
            text: .exactly(completion.payload)))
      }
      settleOutcome(call)
      leavePlace(call)
      forget(call)
    }
  }

  func cancel(_ peer: Int, request: UInt64) {
    if let call = peers[peer].requests[request] { end(call, .cancelled) }
  }
}
