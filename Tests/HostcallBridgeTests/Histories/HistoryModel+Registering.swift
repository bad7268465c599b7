import HostcallWire

@testable import HostcallBridge

/// REGISTER, UNREGISTER, BIND.
extension HistoryModel {
  struct RegisterRequest {
    var request: UInt64
    var name: String
    var concurrency: UInt32
    var timeout: UInt32
    var mode: String
    var isIdempotent: Bool
    var wantsCaller: Bool
    /// All of it as it goes over the wire.
    var options: Metadata
  }

  func register(_ peer: Int, _ request: RegisterRequest) throws(HistoryViolation) {
    if peers[peer].requests[request.request] != nil { return violate(peer) }
    let refusals = refusals(peer, request)
    guard refusals.isEmpty else { return expectRefusal(peer, request.request, refusals) }
    let handle = try handle(in: peer, request.request)
    guard peers[peer].handlesGiven.insert(handle).inserted else {
      throw HistoryViolation(description: "the handle \(handle) was given to peer \(peer) before")
    }
    registrations.append(
      Registration(
        peer: peer, name: request.name, handle: handle,
        concurrency: request.concurrency == 0
          ? limits.defaultConcurrency : min(Int(request.concurrency), limits.concurrency),
        timeout: request.timeout, isExclusive: request.mode == "exclusive", isIdempotent: request.isIdempotent,
        wantsCaller: request.wantsCaller))
    peers[peer].registrations[handle] = registrations.count - 1
    forgetSleeping(request.name, of: peer)
    let others = workers[request.name] ?? []
    workersChanged(request.name, others + [registrations.count - 1])
    if request.mode == "replace" {
      retire(others)
      for other in peers.indices { forgetSleeping(request.name, of: other) }
    }
  }

  private func refusals(_ peer: Int, _ request: RegisterRequest) -> Set<Status> {
    var refusals: Set<Status> = []
    let others = workers[request.name] ?? []
    if phase != .running || peers[peer].state == .leaving { refusals.insert(.shuttingDown) }
    if request.name.hasPrefix("hostcall."), !peers[peer].isLocal { refusals.insert(.invalidArgument) }
    if !["shared", "exclusive", "replace"].contains(request.mode) { refusals.insert(.invalidArgument) }
    if !isAllowed(.register, request.name, peer) { refusals.insert(.denied) }
    let registered = peers[peer].registrations.count + peers[peer].sleeping.count
    if registered >= limits.registrationsPerConnection { refusals.insert(.overloaded) }
    if !peers[peer].isLocal,
      ofUser(peer, { $0.registrations.count + $0.sleeping.count }) >= limits.registrationsPerUser
    {
      refusals.insert(.overloaded)
    }
    if cannotKnow(request.name) { refusals.insert(.overloaded) }
    if others.contains(where: { registrations[$0].peer == peer || registrations[$0].isExclusive }) {
      refusals.insert(.alreadyRegistered)
    }
    if request.mode == "exclusive", !others.isEmpty { refusals.insert(.alreadyRegistered) }
    return refusals
  }

  /// The handle in the RESULT that must be there.
  private func handle(in peer: Int, _ request: UInt64) throws(HistoryViolation) -> UInt32 {
    expect(ExpectedFrame(peer: peer, kind: .result, statuses: [.ok], id: request, aux: nil))
    let result = frames.first { $0.peer == peers[peer].id && $0.frame.kind == .result && $0.frame.id == request }
    guard let handle = result?.frame.header.aux, handle != 0 else {
      throw HistoryViolation(description: "peer \(peer) got no handle for the request \(request), but \(frames)")
    }
    return handle
  }

  func unregister(_ peer: Int, request: UInt64, handle: UInt32) {
    if peers[peer].requests[request] != nil { return violate(peer) }
    guard peers[peer].handlesGiven.contains(handle) else { return expectRefusal(peer, request, [.invalidArgument]) }
    expect(ExpectedFrame(peer: peer, kind: .result, statuses: [.ok], id: request))
    if let registration = peers[peer].registrations[handle] { retire([registration]) }
    peers[peer].sleeping[handle] = nil
  }

  func bind(_ peer: Int, request: UInt64, name: String) throws(HistoryViolation) {
    if peers[peer].requests[request] != nil { return violate(peer) }
    let earlier = peers[peer].bound.first { $0.value == name }?.key
    var refusals: Set<Status> = isAllowed(.call, name, peer) ? [] : [.denied]
    let isTooMany =
      peers[peer].bound.count >= limits.boundHandlesPerConnection
      || !peers[peer].isLocal && ofUser(peer, \.bound.count) >= limits.boundHandlesPerUser
    if earlier == nil, isTooMany || cannotKnow(name) {
      refusals.insert(.overloaded)
    }
    guard refusals.isEmpty else { return expectRefusal(peer, request, refusals) }
    let handle = try handle(in: peer, request)
    guard earlier ?? handle == handle, peers[peer].bound[handle] ?? name == name else {
      throw HistoryViolation(description: "the handle \(handle) of peer \(peer) means two names, or \(name) has two")
    }
    peers[peer].bound[handle] = name
  }

  /// Registrations take no calls any more; what waits for them alone goes elsewhere or ends.
  func retire(_ retired: [Int]) {
    deactivate(retired)
    endWhatNobodyServes()
  }

  func deactivate(_ retired: [Int]) {
    for place in retired {
      registrations[place].isActive = false
      peers[registrations[place].peer].registrations[registrations[place].handle] = nil
      let name = registrations[place].name
      workersChanged(name, (workers[name] ?? []).filter { $0 != place })
    }
  }

  func endWhatNobodyServes() {
    for call in again where serving(calls[call].name) == nil && !calls[call].has(.wait) {
      expectResult(of: call, .workerLost)
      settleOutcome(call)
      forget(call)
    }
    for call in active where calls[call].state == .queued && serving(calls[call].name) == nil {
      if !calls[call].has(.wait) { end(call, .notFound) }
    }
  }
}
