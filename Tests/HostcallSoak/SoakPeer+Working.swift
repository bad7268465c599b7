import HostcallLoop
import HostcallTestSupport
import HostcallWire

// The soak's workers.
extension SoakPeer {
  func registerAll() {
    for function in SoakFunction.all.shuffled(using: &world.random)
    where world.isQuiet || world.random.chance(70) {
      register(function)
    }
  }

  private func register(_ function: SoakFunction) {
    var header = FrameHeader(kind: .register, aux: UInt32(1 + world.random.below(20)))
    header.id = nextRequestID()
    requests[header.id] = .register(function)
    connection?.send(header, name: function.name, metadata: function.isIdempotent ? ["idempotent": "true"] : [:])
    concurrencies[header.id] = Int(header.aux)
  }

  func didRegister(_ function: SoakFunction, _ header: FrameHeader) {
    handles[header.aux] = (function, concurrencies.removeValue(forKey: header.id) ?? 0)
  }

  func didUnregister(_ handle: UInt32) {
    handles[handle] = nil
    leaving.remove(handle)
  }

  func stepAsWorker() {
    releaseHeld()
    let isRegistering = requests.values.contains { if case .register = $0 { true } else { false } }
    guard !isRegistering, leaving.isEmpty, world.isQuiet || world.random.oneIn(60) else { return }
    let missing = SoakFunction.all.filter { function in !handles.values.contains { $0.function.name == function.name } }
    if let function = missing.first, world.isQuiet || world.random.oneIn(2) {
      register(function)
    } else if !world.isQuiet, let (handle, entry) = handles.randomElement(using: &world.random) {
      leaving.insert(handle)
      request(.unregister(entry.function, handle: handle), FrameHeader(kind: .unregister, function: handle))
    }
  }

  /// Completes some of what is held, in any order.
  private func releaseHeld() {
    guard !held.isEmpty else { return }
    let count = world.isQuiet ? held.count : world.random.below(held.count + 1)
    for _ in 0..<count {
      held.swapAt(world.random.below(held.count), held.count - 1)
      complete(held.removeLast(), .ok)
    }
  }

  // MARK: What comes

  func takeInvoke(_ frame: DecodedFrame, _ descriptors: PassedDescriptors?) {
    let header = frame.header
    guard let payload = SoakPayload(.request, frame.payload), let call = ledger.call(payload.identity) else {
      return violated("INVOKE \(header.id) with a payload that nobody sent")
    }
    guard let entry = handles[header.function] else {
      return violated("INVOKE \(header.id) for the handle \(header.function), which is not registered")
    }
    if entry.function.name != call.function?.name || (header.nameBytes > 0) != entry.function.isPattern {
      violated("\(ledger.name(call)) came to \(entry.function.name)")
    }
    let sameHandle = running.values.count { $0.handle == header.function }
    if sameHandle >= entry.concurrency {
      violated("\(entry.function.name) runs \(sameHandle + 1) calls, \(entry.concurrency) were allowed")
    }
    if call.hasMetadata, Metadata(decoding: frame.metadata)["soak-id"] != "\(call.identity)" {
      violated("\(ledger.name(call)) lost its metadata")
    }
    let files = call.plan == .files ? call.items : 0
    if !SoakFile.are(descriptors, of: call.identity, count: files) {
      violated("\(ledger.name(call)) came with \(descriptors?.count ?? 0) files, not its \(files)")
    }
    if running[header.id] != nil || finished[header.id] != nil { violated("INVOKE \(header.id) came twice") }
    let invocation = ledger.invoked(header.id, call, handle: header.function)
    invocation.itemCredit = Int(header.aux)
    running[header.id] = invocation
    if !call.mayRunAgain { world.runningIDs[header.id] = ObjectIdentifier(self) }
    ledger.counts.files += files
    act(on: invocation, descriptors)
  }

  private func act(on invocation: SoakInvocation, _ descriptors: PassedDescriptors?) {
    switch invocation.call.plan {
    case .answer: complete(invocation, .ok)
    case .files: complete(invocation, .ok, invocation.call.identity % 2 == 0 ? descriptors : nil)
    case .hold: held.append(invocation)
    case .fail: complete(invocation, .failed)
    case .ownStatus: complete(invocation, Status(rawValue: 128 + UInt8(invocation.call.identity % 100)))
    case .deaf, .late: break
    case .twice:
      complete(invocation, .ok)
      sendCompletion(invocation, .ok)
    case .stray:
      completeStray()
      complete(invocation, .ok)
    case .lethal: world.isQuiet ? complete(invocation, .ok) : die()
    case .items: sendItems(invocation)
    case .arguments: grant(invocation)
    case .builtIn: violated("\(ledger.name(invocation.call)) came to a worker")
    }
  }

  private func complete(_ invocation: SoakInvocation, _ status: Status, _ descriptors: PassedDescriptors? = nil) {
    guard running.removeValue(forKey: invocation.id) != nil else { return }
    finished[invocation.id] = invocation
    unconfirmed.append(invocation)
    world.runningIDs[invocation.id] = nil
    sendCompletion(invocation, status, descriptors)
  }

  private func sendCompletion(
    _ invocation: SoakInvocation, _ status: Status, _ descriptors: PassedDescriptors? = nil
  ) {
    invocation.completions.append(status)
    let call = invocation.call
    var metadata: Metadata = call.hasMetadata ? ["soak-answer": "\(call.identity)"] : [:]
    if let descriptors { metadata["descriptors"] = "\(descriptors.count)" }
    connection?.send(
      FrameHeader(
        kind: .complete, flags: descriptors == nil ? [] : .descriptors, status: status, id: invocation.id),
      metadata: metadata,
      payload: SoakPayload(identity: call.identity, number: invocation.id).encoded(
        .answer, byteCount: world.payloadBytes()), descriptors: descriptors)
  }

  /// Completes what somebody else runs: that must not be taken.
  private func completeStray() {
    let own = ObjectIdentifier(self)
    guard let (id, _) = world.runningIDs.first(where: { $0.value != own }) else { return }
    strays[id, default: 0] += 1
    ledger.counts.strayCompletions += 1
    connection?.send(
      FrameHeader(kind: .complete, id: id), payload: SoakPayload(identity: 0, number: id).encoded(.stray))
  }

  func takeCancel(_ header: FrameHeader) {
    if header.id & Self.requestBit != 0 { return violated("CANCEL for a request from the daemon") }
    guard let invocation = running[header.id] ?? finished[header.id] else {
      return violated("CANCEL for \(header.id), which was never here")
    }
    if invocation.cancelled != nil { violated("CANCEL came twice for \(header.id)") }
    if ![.timeout, .cancelled, .callerLost].contains(header.status) { violated("CANCEL with \(header.status)") }
    invocation.cancelled = header.status
    guard running[header.id] != nil else { return }
    switch invocation.call.plan {
    case .deaf, .items, .arguments: complete(invocation, .cancelled)
    case .late: held.append(invocation)
    default: break
    }
  }

  func takeRejected(_ header: FrameHeader) {
    if let invocation = running[header.id] ?? finished[header.id] {
      invocation.rejections.append(header.status)
    } else if let left = strays[header.id], header.status == .unknownCall {
      strays[header.id] = left > 1 ? left - 1 : nil
      ledger.counts.rejections += 1
    } else {
      violated("REJECTED \(header.status) for \(header.id), which was never here")
    }
  }

  // MARK: Streams

  func takeItemCredit(_ header: FrameHeader) {
    guard let invocation = running[header.id] ?? finished[header.id] else {
      return violated("CREDIT for \(header.id), which was never here")
    }
    invocation.itemCredit += Int(header.aux)
    if running[header.id] != nil { sendItems(invocation) }
  }

  private func sendItems(_ invocation: SoakInvocation) {
    let call = invocation.call
    while invocation.itemCredit > 0, invocation.itemsSent < call.items {
      connection?.send(
        FrameHeader(kind: .item, id: invocation.id, aux: UInt32(invocation.itemsSent)),
        payload: SoakPayload(identity: call.identity, number: UInt64(invocation.itemsSent)).encoded(
          .resultItem, byteCount: world.random.below(2_000)))
      invocation.itemsSent += 1
      invocation.framesSent += 1
      invocation.itemCredit -= 1
    }
    if invocation.itemsSent == call.items { complete(invocation, .ok) }
  }

  private func grant(_ invocation: SoakInvocation) {
    let more = 1 + world.random.below(4)
    invocation.framesSent += 1
    connection?.send(FrameHeader(kind: .credit, id: invocation.id, aux: UInt32(more)))
  }

  func takeArgumentItem(_ frame: DecodedFrame) {
    let header = frame.header
    guard let invocation = running[header.id] ?? finished[header.id] else {
      return violated("ITEM for \(header.id), which was never here")
    }
    let call = invocation.call
    let isBareEnd = header.flags.contains(.last) && frame.payload.isEmpty
    let item = SoakPayload(.argumentItem, frame.payload)
    let isRight = isBareEnd || item?.identity == call.identity && item?.number == UInt64(header.aux)
    if !isRight || header.aux != invocation.argumentsReceived {
      violated("\(ledger.name(call)) was sent the argument \(header.aux) for \(invocation.argumentsReceived)")
    }
    invocation.argumentsReceived += 1
    ledger.counts.items += 1
    guard running[header.id] != nil else { return }
    if header.flags.contains(.last) {
      let count = isBareEnd ? invocation.argumentsReceived - 1 : invocation.argumentsReceived
      if count != call.items { violated("\(ledger.name(call)) has \(count) arguments, not \(call.items)") }
      complete(invocation, .ok)
    } else {
      grant(invocation)
    }
  }
}
