import HostcallLoop
import HostcallTestSupport
import HostcallWire

// The soak's callers.
extension SoakPeer {
  private static let largestWindow = 60
  private static let largestOutput = 2_000_000
  /// How much later than its deadline an outcome may come, on a machine that has other things to do.
  private static let patienceMilliseconds: UInt64 = 20_000

  func stepAsCaller() {
    sendCancels()
    guard !world.isQuiet, let connection, connection.queuedBytes < Self.largestOutput else { return }
    for _ in 0..<world.random.below(8) where world.callsLeft > 0 && outstanding.count < Self.largestWindow {
      makeCall()
    }
    if bound.count < 20, world.random.oneIn(20) {
      let function = world.random.pick(SoakFunction.all)
      let name = function.calledName(&world.random)
      request(.bind(function, name: name), FrameHeader(kind: .bind), name: name)
    }
  }

  private func makeCall() {
    world.callsLeft -= 1
    let picked = SoakPlan.pick(&world.random)
    let plan = picked == .files && !roles.contains(.files) ? .answer : picked
    let identity = ledger.newIdentity()
    let binding = plan != .builtIn && world.random.chance(40) && !bound.isEmpty ? world.random.pick(bound) : nil
    let function = plan == .builtIn ? nil : binding?.function ?? world.random.pick(SoakFunction.all)
    let streams = plan == .items || plan == .arguments
    var flags: FrameFlags = []
    if world.random.chance(12) { flags.insert(.idempotent) }
    if world.random.chance(30), plan != .builtIn { flags.insert(.wait) }
    if world.random.chance(5), !streams, plan != .builtIn { flags.insert(.noReply) }
    if plan == .arguments { flags.insert(.open) }
    if plan == .files { flags.insert(.descriptors) }
    let items = streams ? world.random.below(12) : plan == .files ? 1 + world.random.below(5) : 0
    let call = SoakCall(
      identity: identity, plan: plan, function: function, flags: flags, timeoutMilliseconds: timeout(plan),
      sentNanoseconds: world.now, items: items, hasMetadata: world.random.chance(25))
    ledger.open(call)
    var header = FrameHeader(
      kind: .call, flags: flags, id: nextRequestID(), timeoutMilliseconds: call.timeoutMilliseconds)
    if plan == .items {
      call.itemCredit = 1 + world.random.below(4)
      header.aux = UInt32(call.itemCredit)
    }
    header.function = binding?.handle ?? 0
    let name =
      binding != nil ? "" : function?.calledName(&world.random) ?? "hostcall.echo"
    let number = UInt64(plan.rawValue) | UInt64(items) << 8
    var metadata: Metadata = call.hasMetadata ? ["soak-id": "\(identity)"] : [:]
    if plan == .files { metadata["descriptors"] = "\(items)" }
    connection?.send(
      header, name: name, metadata: metadata,
      payload: SoakPayload(identity: identity, number: number).encoded(.request, byteCount: world.payloadBytes()),
      descriptors: plan == .files ? SoakFile.open(identity, count: items) : nil)
    if !flags.contains(.noReply) {
      outstanding[header.id] = call
      if plan == .arguments, items == 0 { sendArguments(call, header.id) }
      if world.random.chance(5) {
        cancelQueue.append((world.now + UInt64(world.random.below(30)) * 1_000_000, header.id))
      }
    }
  }

  private func timeout(_ plan: SoakPlan) -> UInt32 {
    if plan.awaitsCancel { return UInt32(10 + world.random.below(150)) }
    return UInt32(world.random.oneIn(40) ? 1 + world.random.below(30) : 2_000 + world.random.below(8_000))
  }

  private func sendCancels() {
    guard !cancelQueue.isEmpty else { return }
    for (at, request) in cancelQueue where at <= world.now {
      guard let call = outstanding[request] else { continue }
      call.wasCancelled = true
      connection?.send(FrameHeader(kind: .cancel, id: request))
    }
    cancelQueue.removeAll { $0.at <= world.now }
  }

  // MARK: What comes back

  func takeResult(_ frame: DecodedFrame, _ descriptors: PassedDescriptors?) {
    let header = frame.header
    if let request = requests.removeValue(forKey: header.id) { return takeAnswer(to: request, header) }
    guard let call = outstanding.removeValue(forKey: header.id) else {
      return violated("RESULT \(header.status) for the request \(header.id), which is not outstanding")
    }
    let isFromWorker = header.flags.contains(.fromWorker)
    call.outcome = .init(status: header.status, isFromWorker: isFromWorker, correlationID: header.call)
    world.tick()
    let milliseconds = (world.now - call.sentNanoseconds) / 1_000_000
    if milliseconds > UInt64(call.timeoutMilliseconds) + Self.patienceMilliseconds {
      violated("\(ledger.name(call)) ended after \(milliseconds) ms, \(call.timeoutMilliseconds) were allowed")
    }
    if header.status == .timeout, !isFromWorker, milliseconds < UInt64(call.timeoutMilliseconds) {
      violated("\(ledger.name(call)) got TIMEOUT after \(milliseconds) of \(call.timeoutMilliseconds) ms")
    }
    if isFromWorker { checkAnswer(frame, descriptors, of: call) }
  }

  private func checkAnswer(_ frame: DecodedFrame, _ descriptors: PassedDescriptors?, of call: SoakCall) {
    if call.plan == .builtIn {
      if frame.header.status != .ok || SoakPayload(.request, frame.payload)?.identity != call.identity {
        violated("\(ledger.name(call)): hostcall.echo answered \(frame.header.status) with something else")
      }
      return
    }
    let answer = SoakPayload(.answer, frame.payload)
    if answer?.identity != call.identity || answer?.number != frame.header.call {
      violated("\(ledger.name(call)) got the payload of another call")
    }
    if call.hasMetadata, Metadata(decoding: frame.metadata)["soak-answer"] != "\(call.identity)" {
      violated("\(ledger.name(call)) got the metadata of another call")
    }
    // Every other one sends back what came.
    let files = call.plan == .files && call.identity % 2 == 0 ? call.items : 0
    if !SoakFile.are(descriptors, of: call.identity, count: files) {
      violated("\(ledger.name(call)) got \(descriptors?.count ?? 0) files, not its \(files)")
    }
  }

  private func takeAnswer(to request: Request, _ header: FrameHeader) {
    if header.status != .ok, header.status != .overloaded {
      violated("\(request) was answered by \(header.status)")
    }
    guard header.status == .ok else { return }
    switch request {
    case .register(let function): didRegister(function, header)
    case .unregister(_, let handle): didUnregister(handle)
    case .bind(let function, let name): bound.append((name, function, header.aux))
    case .subscribe, .publish: break
    }
  }

  // MARK: Streams

  func takeResultItem(_ frame: DecodedFrame) {
    let header = frame.header
    guard let call = outstanding[header.id] else {
      return violated("ITEM for the request \(header.id), which is not outstanding")
    }
    let item = SoakPayload(.resultItem, frame.payload)
    if item?.identity != call.identity || item?.number != UInt64(header.aux) || header.aux != call.itemsReceived {
      violated("\(ledger.name(call)) got the item \(header.aux) for the item \(call.itemsReceived)")
    }
    call.itemsReceived += 1
    call.itemCredit -= 1
    ledger.counts.items += 1
    if call.itemCredit < 0 || call.plan != .items { violated("\(ledger.name(call)) got an item beyond its credit") }
    guard call.itemCredit == 0 || world.random.oneIn(3) else { return }
    let more = 1 + world.random.below(5)
    call.itemCredit += more
    connection?.send(FrameHeader(kind: .credit, id: header.id, aux: UInt32(more)))
  }

  func takeArgumentCredit(_ header: FrameHeader) {
    guard let call = outstanding[header.id] else {
      return violated("CREDIT for the request \(header.id), which is not outstanding")
    }
    call.argumentCredit += Int(header.aux)
    sendArguments(call, header.id)
  }

  /// Sends as many arguments as may be sent; the end is the last of them, or comes behind it.
  private func sendArguments(_ call: SoakCall, _ request: UInt64) {
    while call.argumentsSent < call.items, call.argumentCredit > 0 {
      let place = call.argumentsSent
      let isLast = place == call.items - 1 && call.identity % 2 == 0
      connection?.send(
        FrameHeader(kind: .item, flags: isLast ? .last : [], id: request, aux: UInt32(place)),
        payload: SoakPayload(identity: call.identity, number: UInt64(place)).encoded(
          .argumentItem, byteCount: world.random.below(2_000)))
      call.argumentsSent += 1
      call.argumentCredit -= 1
    }
    if call.argumentsSent == call.items, call.items == 0 || call.identity % 2 == 1 {
      connection?.send(FrameHeader(kind: .item, flags: .last, id: request, aux: UInt32(call.items)))
      call.argumentsSent += 1
    }
  }
}
