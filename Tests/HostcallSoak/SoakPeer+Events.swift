import HostcallTestSupport
import HostcallWire

// The soak's publishers and subscribers.
extension SoakPeer {
  func stepAsPublisher() {
    guard !world.isQuiet, world.random.oneIn(3) else { return }
    eventsPublished += 1
    ledger.counts.eventsPublished += 1
    let payload = SoakPayload(identity: publisherIdentity, number: eventsPublished).encoded(
      .event, byteCount: world.random.below(400))
    let name = "soak.event.\(world.random.below(5))"
    if world.random.oneIn(2) {
      request(.publish, FrameHeader(kind: .publish), name: name, payload: payload)
    } else {
      connection?.send(FrameHeader(kind: .publish), name: name, payload: payload)
    }
  }

  /// Events are numbered for the subscriber without a gap but for the dropped ones, and keep each publisher's order.
  func takeEvent(_ frame: DecodedFrame) {
    let header = frame.header
    ledger.counts.eventsReceived += 1
    ledger.counts.eventsDropped += Int(header.aux)
    guard let event = SoakPayload(.event, frame.payload) else { return violated("an EVENT that nobody published") }
    if header.id != lastEventPlace + 1 + UInt64(header.aux) {
      violated("EVENT \(header.id) with \(header.aux) dropped came after EVENT \(lastEventPlace)")
    }
    lastEventPlace = header.id
    if header.aux > 0 { lastOfPublisher = [:] }
    if let last = lastOfPublisher[event.identity], event.number != last + 1 {
      violated("event \(event.number) of publisher \(event.identity) came after its event \(last)")
    }
    lastOfPublisher[event.identity] = event.number
  }
}
