import HostcallWire

@testable import HostcallBridge

/// SUBSCRIBE, UNSUBSCRIBE, PUBLISH.
extension HistoryModel {
  struct Event {
    let place: UInt64
    let name: String
    let payload: [UInt8]
    let metadata: Metadata
    var bytes: Int { name.utf8.count + payload.count + metadata.encodedBytes }
  }

  func subscribe(_ peer: Int, request: UInt64, name: String) {
    if peers[peer].requests[request] != nil { return violate(peer) }
    guard isAllowed(.subscribe, name, peer) else { return expectRefusal(peer, request, [.denied]) }
    if !peers[peer].subscriptions.contains(name) {
      let isTooMany =
        peers[peer].subscriptions.count >= limits.subscriptionsPerConnection
        || !peers[peer].isLocal && ofUser(peer, \.subscriptions.count) >= limits.subscriptionsPerUser
      if isTooMany || cannotKnow(name) { return expectRefusal(peer, request, [.overloaded]) }
      peers[peer].subscriptions.insert(name)
    }
    expect(ExpectedFrame(peer: peer, kind: .result, statuses: [.ok], id: request))
  }

  func unsubscribe(_ peer: Int, request: UInt64, name: String) {
    if peers[peer].requests[request] != nil { return violate(peer) }
    guard peers[peer].subscriptions.remove(name) != nil else {
      return expectRefusal(peer, request, [.invalidArgument])
    }
    expect(ExpectedFrame(peer: peer, kind: .result, statuses: [.ok], id: request))
  }

  func publish(
    _ peer: Int, request: UInt64, name: String, payload: [UInt8], metadata: Metadata
  ) throws(HistoryViolation) {
    if request != 0, peers[peer].requests[request] != nil { return violate(peer) }
    guard isAllowed(.publish, name, peer) else {
      return request == 0 ? () : expectRefusal(peer, request, [.denied])
    }
    var subscribers = 0
    for subscriber in peers.indices where peers[subscriber].state != .gone {
      let isMeant = peers[subscriber].subscriptions.contains { subscription in
        (subscription == name || isPattern(subscription) && name.hasPrefix(subscription.dropLast()))
          && isAllowed(.subscribe, subscription, subscriber)
      }
      guard isMeant else { continue }
      subscribers += 1
      peers[subscriber].lastEvent += 1
      let event = Event(place: peers[subscriber].lastEvent, name: name, payload: payload, metadata: metadata)
      if peers[subscriber].events.isEmpty, isReading(subscriber) {
        expectEvent(event, for: subscriber)
      } else {
        wait(event, for: subscriber)
      }
    }
    if request != 0 {
      expect(
        ExpectedFrame(peer: peer, kind: .result, statuses: [.ok], id: request, aux: UInt32(subscribers)))
    }
  }

  private func wait(_ event: Event, for peer: Int) {
    peers[peer].events.append(event)
    while peers[peer].events.count > limits.waitingEventsPerConnection
      || peers[peer].events.reduce(0, { $0 + $1.bytes }) > limits.waitingEventBytesPerConnection
    {
      peers[peer].events.removeFirst()
      peers[peer].droppedEvents += 1
    }
  }

  private func expectEvent(_ event: Event, for peer: Int) {
    let dropped = peers[peer].droppedEvents
    peers[peer].droppedEvents = 0
    expect(
      ExpectedFrame(
        peer: peer, kind: .event, statuses: [.ok], id: event.place, metadata: event.metadata,
        text: .exactly(event.payload), aux: dropped, name: event.name))
  }

  /// Events that waited and that the bridge has sent: the oldest first.
  func sendWaiting() {
    for sent in frames where sent.frame.kind == .event {
      guard let peer = places[sent.peer], let first = peers[peer].events.first, first.place == sent.frame.id else {
        continue
      }
      peers[peer].events.removeFirst()
      expectEvent(first, for: peer)
    }
  }

  func checkNoEventWaitsInVain() throws(HistoryViolation) {
    for peer in peers.indices where isLive(peer) && isReading(peer) && !peers[peer].events.isEmpty {
      throw HistoryViolation(description: "events wait for peer \(peer), which reads: \(peers[peer].events)")
    }
  }
}
