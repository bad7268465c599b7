import HostcallTestSupport
import HostcallWire

@testable import HostcallBridge

/// What each action does, with what it chooses.
extension HistoryPlayer {
  func play(_ action: HistoryAction) throws(HistoryViolation) {
    switch action {
    case .connect: try connect()
    case .hello: if let peer = any(where: { model.peers[$0].state == .greeting }) { try hello(peer) }
    case .register: try register()
    case .unregister: try unregister()
    case .bind: try bind()
    case .call: try call()
    case .complete: try complete()
    case .completeWrongly: try completeWrongly()
    case .cancel: try cancel()
    case .gone: try gone()
    case .backlog: try backlog()
    case .unbacklog: try unbacklog()
    case .taken: try taken()
    case .time: try time()
    case .ping: try ping()
    case .goaway: try goaway()
    case .violate: try violate()
    case .setPolicy: try setPolicy()
    case .stop: try stop()
    case .item: try item()
    case .credit: try credit()
    case .subscribe: try subscribe()
    case .unsubscribe: try unsubscribe()
    case .publish: try publish()
    case .handOver: try handOver()
    }
  }

  /// A request id: mostly a free one out of few, seldom one that is outstanding.
  func requestID(of peer: Int) -> UInt64 {
    let taken = model.peers[peer].requests
    if random.chance(1), let outstanding = taken.keys.min() { return outstanding }
    while true {
      let request = UInt64(1 + random.below(50 + taken.count))
      if taken[request] == nil { return request }
    }
  }

  func payload(_ sizes: [Int]) -> [UInt8] {
    let first = random.below(256)
    return (0..<random.pick(sizes)).map { UInt8(truncatingIfNeeded: first + $0) }
  }

  func metadata() -> Metadata {
    random.chance(25) ? ["trace": "t\(random.below(100))", "k": String(repeating: "ü", count: random.below(9))] : [:]
  }

  func encoding() -> PayloadEncoding { random.pick([.raw, .raw, .json, PayloadEncoding(rawValue: 200)]) }

  // MARK: Registering

  private func register() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    let mode = random.pick(["shared", "shared", "shared", "shared", "exclusive", "replace", "strange"])
    let isIdempotent = random.chance(30)
    let wantsCaller = random.chance(20)
    var options: Metadata = isIdempotent ? ["idempotent": "true"] : [:]
    if mode != "shared" || random.chance(50) { options["mode"] = mode }
    if wantsCaller { options["caller"] = "true" }
    let request = HistoryModel.RegisterRequest(
      request: requestID(of: peer), name: random.pick(random.chance(60) ? Self.names : Self.patterns),
      concurrency: random.pick([0, 1, 1, 2, 3, 70_000]), timeout: random.pick([0, 0, 0, 5, 50]), mode: mode,
      isIdempotent: isIdempotent, wantsCaller: wantsCaller, options: options)
    try step("peer \(peer) registers \(request)") {
      self.peer(peer)?.sendRegister(
        request.name, request: request.request, concurrency: request.concurrency, timeout: request.timeout, options)
    } _: { () throws(HistoryViolation) in
      try model.register(peer, request)
    }
  }

  private func unregister() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    let given = model.peers[peer].handlesGiven.sorted()
    let handle = given.isEmpty || random.chance(5) ? UInt32(given.count + random.below(3)) : random.pick(given)
    let request = requestID(of: peer)
    try step("peer \(peer) unregisters \(handle), request \(request)") {
      self.peer(peer)?.unregister(handle, request: request)
    } _: {
      model.unregister(peer, request: request, handle: handle)
    }
  }

  private func bind() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    let name = random.pick(Self.names)
    let request = requestID(of: peer)
    try step("peer \(peer) binds \(name), request \(request)") {
      self.peer(peer)?.send(FrameHeader(kind: .bind, id: request), name: name)
    } _: { () throws(HistoryViolation) in
      try model.bind(peer, request: request, name: name)
    }
  }

  // MARK: Calling

  private func call() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    var flags: FrameFlags = []
    if random.chance(35) { flags.insert(.wait) }
    if random.chance(25) { flags.insert(.idempotent) }
    if random.chance(10) { flags.insert(.noReply) }
    let hasItems = random.chance(flags.contains(.noReply) ? 3 : 30)
    if hasItems, random.chance(50) { flags.insert(.open) }
    if hasItems, random.chance(30) { flags.formUnion([.wait, .idempotent]) }
    var request = HistoryModel.CallRequest(
      request: requestID(of: peer), name: random.pick(Self.names), flags: flags,
      timeout: random.pick([0, 0, 1, 3, 20, 100, 100_000, .max]),
      payload: payload(random.chance(2) ? [1_022, 1_023, 1_024, 1_100] : [0, 0, 1, 8, 40, 100]), metadata: metadata(),
      encoding: encoding(), credit: hasItems ? random.pick([0, 1, 2, 10, .max]) : 0)
    let bound = model.peers[peer].bound.keys.sorted()
    var handle: UInt32 = 0
    if !bound.isEmpty, random.chance(50) {
      handle = random.chance(3) ? UInt32(bound.count + 1) : random.pick(bound)
      request.name = model.peers[peer].bound[handle]
      request.isByHandle = true
    }
    let header = FrameHeader(
      kind: .call, flags: flags, encoding: request.encoding, id: request.request, function: handle,
      timeoutMilliseconds: request.timeout, aux: request.credit)
    try step("peer \(peer) calls \(request)") {
      self.peer(peer)?.send(
        header, name: handle == 0 ? request.name ?? "" : "", metadata: request.metadata, payload: request.payload)
    } _: {
      model.call(peer, request)
    }
  }

  private func complete() throws(HistoryViolation) {
    let held = model.active.filter { call in
      guard let worker = model.calls[call].worker, model.calls[call].state != .queued else { return false }
      return model.isLive(worker)
    }
    guard !held.isEmpty else { return }
    let call = model.calls[random.pick(held)]
    try complete(call.worker ?? 0, call.correlation ?? 0)
  }

  /// An id that means nothing, or a call of another worker, or one that has ended.
  private func completeWrongly() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    let id = random.pick(model.byCorrelation.keys.sorted() + [random.next() | 1])
    let worker = model.byCorrelation[id].flatMap { model.calls[$0].worker }
    let isItsWorker = random.chance(70) && worker.map { model.isLive($0) } ?? false
    try complete(isItsWorker ? worker ?? peer : peer, id)
  }

  private func complete(_ peer: Int, _ id: UInt64) throws(HistoryViolation) {
    let completion = HistoryModel.Completion(
      id: id, status: random.pick([.ok, .ok, .failed, .cancelled, Status(rawValue: 200)]),
      payload: payload(random.chance(3) ? [1_024, 1_025] : [0, 3, 50]), metadata: metadata(), encoding: encoding())
    try step("peer \(peer) completes \(completion)") {
      self.peer(peer)?.complete(
        id, completion.status, completion.payload, metadata: completion.metadata, encoding: completion.encoding)
    } _: {
      model.complete(peer, completion)
    }
  }

  private func cancel() throws(HistoryViolation) {
    guard let peer = anyLive() else { return }
    let requests = model.peers[peer].requests.keys.sorted()
    let request = requests.isEmpty || random.chance(10) ? 77_777 : random.pick(requests)
    try step("peer \(peer) cancels \(request)") {
      self.peer(peer)?.cancel(request)
    } _: {
      model.cancel(peer, request: request)
    }
  }
}
