import HostcallWire

/// SUBSCRIBE, UNSUBSCRIBE and PUBLISH (protocol section 4, *Events*), and the daemon's own events (section 7).
extension Bridge {
  mutating func subscribe(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    let header = frame.header
    guard isPermitted(.subscribe, frame.name, to: slot) else {
      return deny(.subscribe, header, FrameRules.printable(frame.name), to: slot, into: &actions)
    }
    if let known = functions.find(frame.name), peers[slot].subscriptions.contains(known) {
      return send(FrameHeader(kind: .result, id: header.id), to: slot, into: &actions)
    }
    let user = peers[slot].user
    let own = users[user].limits
    guard
      hasRoom(
        for: header, frame.name, "subscriptions",
        ofConnection: Quota(
          limit: "subscriptions-per-connection", count: peers[slot].subscriptions.count,
          most: own.subscriptionsPerConnection),
        ofUser: Quota(
          limit: "subscriptions-per-user", count: users[user].subscriptions, most: own.subscriptionsPerUser),
        from: slot, into: &actions)
    else { return }
    let subject = functions.findOrInsert(frame.name)
    functions.retain(subject)
    functions.addSubscriber(slot, to: subject)
    peers[slot].subscriptions.insert(subject)
    users[user].subscriptions += 1
    send(FrameHeader(kind: .result, id: header.id), to: slot, into: &actions)
  }

  mutating func unsubscribe(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    guard let subject = functions.find(frame.name), peers[slot].subscriptions.contains(subject) else {
      return refuse(
        frame.header, to: slot, .invalidArgument,
        "\(FrameRules.printable(frame.name)): this connection has not subscribed to it", into: &actions)
    }
    endSubscription(subject, of: slot)
    send(FrameHeader(kind: .result, id: frame.header.id), to: slot, into: &actions)
  }

  /// The peer gets no more events of this name or pattern.
  mutating func endSubscription(_ subject: Slot, of slot: Slot) {
    peers[slot].subscriptions.remove(subject)
    users[peers[slot].user].subscriptions -= 1
    if peers[slot].sleepingSubscriptions.remove(subject) == nil { functions.removeSubscriber(slot, from: subject) }
    functions.release(subject)
  }

  mutating func publish(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    let header = frame.header
    guard peers[slot].isLocal || !NameRules.isReserved(frame.name) else {
      let reason = "\(FrameRules.printable(frame.name)): names that begin with hostcall. belong to the daemon"
      if header.id != 0 { refuse(header, to: slot, .invalidArgument, reason, into: &actions) }
      return
    }
    guard isPermitted(.publish, frame.name, to: slot) else {
      return deny(.publish, header, FrameRules.printable(frame.name), to: slot, into: &actions)
    }
    let subscribers = subscribers(to: frame.name)
    var event = FrameHeader(kind: .event, encoding: header.encoding)
    event.nameBytes = header.nameBytes
    event.metadataBytes = header.metadataBytes
    var kept: StoredBody?
    for subscriber in subscribers {
      if mustWait(subscriber) {
        let body = kept ?? StoredBody(frame)
        kept = body
        wait(event, body, for: subscriber, into: &actions)
      } else {
        event.id = peers[subscriber].events.nextPlace()
        event.aux = peers[subscriber].events.takeDropped()
        send(event, to: subscriber, prefixStart: actions.end, sourceBytes: Int(header.bodyBytes), into: &actions)
      }
    }
    statistics.eventsPublished += 1
    if header.id != 0 {
      send(
        FrameHeader(kind: .result, id: header.id, aux: UInt32(subscribers.count)), to: slot, into: &actions)
    }
  }

  /// Those who have subscribed to a name, or to a pattern that it matches, once each.
  private mutating func subscribers(to name: UnsafeRawBufferPointer) -> [Slot] {
    var subscribers: [Slot] = []
    publications &+= 1
    for subject in functions.subscribed(matching: name) {
      for subscriber in functions[subject].subscribers where peers[subscriber].lastPublication != publications {
        peers[subscriber].lastPublication = publications
        subscribers.append(subscriber)
      }
    }
    return subscribers
  }

  // MARK: Slow subscribers

  private mutating func mustWait(_ slot: Slot) -> Bool {
    !peers[slot].events.isEmpty || peers[slot].isBacklogged || isFull(slot)
  }

  private mutating func wait(
    _ event: FrameHeader, _ body: StoredBody, for slot: Slot, into actions: inout ActionBuffer
  ) {
    let waiting = WaitingEvent(
      place: peers[slot].events.nextPlace(), encoding: event.encoding, nameBytes: event.nameBytes,
      metadataBytes: event.metadataBytes, body: body)
    let user = peers[slot].user
    let own = users[user].limits
    let before = (dropped: peers[slot].events.dropped, bytes: peers[slot].events.bytes)
    // What waits for others of this user leaves so much room, and what waits here already has its own.
    let room = max(0, own.outputBytesPerUser - users[user].outputBytes) + before.bytes
    peers[slot].events.append(
      waiting, mostEvents: own.waitingEventsPerConnection, mostBytes: min(own.waitingEventBytesPerConnection, room))
    users[user].outputBytes += peers[slot].events.bytes - before.bytes
    if peers[slot].events.dropped > before.dropped {
      statistics.eventsDropped += UInt64(peers[slot].events.dropped - before.dropped)
      notify("waiting-events-per-connection", own.waitingEventsPerConnection, slot: slot, into: &actions)
    }
  }

  /// A subscriber reads again: it gets what has waited, as far as it can take it.
  mutating func sendWaitingEvents(to slot: Slot, into actions: inout ActionBuffer) {
    while !peers[slot].isBacklogged, !isFull(slot), let (event, dropped) = peers[slot].events.popFirst() {
      var header = FrameHeader(kind: .event, encoding: event.encoding, id: event.place, aux: dropped)
      header.nameBytes = event.nameBytes
      header.metadataBytes = event.metadataBytes
      users[peers[slot].user].outputBytes -= event.body.byteCount
      let place = actions.keep(event.body)
      send(
        header, to: slot, prefixStart: actions.end, source: .stored(place), sourceBytes: event.body.byteCount,
        into: &actions)
    }
  }

  // MARK: The daemon's own events

  /// `hostcall.peer.connected` and `hostcall.peer.disconnected`.
  mutating func announce(_ name: StaticString, peer slot: Slot, into actions: inout ActionBuffer) {
    guard functions.hasSubscribers, !peers[slot].isLocal else { return }
    let identity = peers[slot].identity
    announce(
      name,
      """
      {"client":\(Self.json(peers[slot].client)),"groupID":\(identity.groupID),"processID":\(identity.processID),\
      "session":\(peers[slot].session),"userID":\(identity.userID)}
      """, into: &actions)
  }

  /// `hostcall.function.registered` and `hostcall.function.unregistered`, with how many workers the name has now.
  mutating func announce(_ name: StaticString, registration: Slot, into actions: inout ActionBuffer) {
    guard functions.hasSubscribers else { return }
    let record = registrations[registration]
    announce(
      name,
      """
      {"name":\(Self.json(functions.text(record.function))),"session":\(peers[record.worker.slot].session),\
      "workers":\(functions[record.function].registrations.count)}
      """, into: &actions)
  }

  private mutating func announce(_ name: StaticString, _ json: String, into actions: inout ActionBuffer) {
    let nameBytes = name.utf8CodeUnitCount
    var bytes = Array(UnsafeBufferPointer(start: name.utf8Start, count: nameBytes))
    let subscribers = bytes.withUnsafeBytes { name in self.subscribers(to: name) }
    if subscribers.isEmpty { return }
    bytes += json.utf8
    let body = bytes.withUnsafeBytes { StoredBody(copying: $0) }
    var event = FrameHeader(kind: .event, encoding: .json)
    event.nameBytes = UInt16(nameBytes)
    for subscriber in subscribers {
      wait(event, body, for: subscriber, into: &actions)
      sendWaitingEvents(to: subscriber, into: &actions)
    }
  }

  /// Text as a JSON string. What a peer says of itself has been made printable before.
  private static func json(_ text: String) -> String {
    var json = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": json += "\\\(scalar)"
      default: json += scalar.value < 0x20 ? "?" : String(scalar)
      }
    }
    return json + "\""
  }
}
