import HostcallWire

/// Opening a connection, pings, leaving (protocol section 3, and *Liveness and leaving*).
extension Bridge {
  mutating func hello(_ frame: DecodedFrame, from slot: Slot, into actions: inout ActionBuffer) {
    let lowest = frame.header.function
    let highest = frame.header.aux
    guard (lowest...highest).contains(ProtocolConstants.version) else {
      send(
        FrameHeader(kind: .welcome, status: .version, id: peers[slot].session), to: slot,
        text: "\(ProtocolConstants.version)", into: &actions)
      peers[slot].state = .closing
      actions.close(peers[slot].id)
      return
    }
    var reader = MetadataReader(frame.metadata)
    while let (key, value) = reader.next() {
      if key.elementsEqual("client".utf8) { peers[slot].client = FrameRules.printable(value) }
      if key.elementsEqual("features".utf8) {
        let features = value.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: ",") }
        peers[slot].takesDescriptors = features.contains { $0.elementsEqual("descriptors".utf8) }
      }
    }
    peers[slot].state = .open
    peers[slot].hasGreeted = true
    var header = FrameHeader(
      kind: .welcome, id: peers[slot].session, function: ProtocolConstants.version,
      aux: UInt32(users[peers[slot].user].limits.callsInFlightPerConnection))
    let start = actions.end
    actions.writeMetadata("server", identity.server)
    actions.writeMetadata("instance", identity.instance)
    actions.writeMetadata("features", "streams,events,descriptors")
    actions.writeMetadata("max-frame", String(limits.frameBytes))
    header.metadataBytes = UInt16(actions.end - start)
    send(header, to: slot, prefixStart: start, into: &actions)
    announce("hostcall.peer.connected", peer: slot, into: &actions)
  }

  mutating func pong(_ frame: DecodedFrame, to slot: Slot, into actions: inout ActionBuffer) {
    let offset = Int(frame.header.nameBytes) + Int(frame.header.metadataBytes)
    send(
      FrameHeader(kind: .pong, encoding: frame.header.encoding, id: frame.header.id), to: slot,
      prefixStart: actions.end, sourceStart: offset, sourceBytes: frame.header.payloadBytes, into: &actions)
  }

  /// GOAWAY from a peer: it gets no more INVOKEs and finishes what it has.
  mutating func leave(_ slot: Slot, now: UInt64, into actions: inout ActionBuffer) {
    guard peers[slot].state == .open else { return }
    peers[slot].state = .leaving
    retire(peers[slot].registrations.values.sorted(), now: now, into: &actions)
  }

  /// A frame beyond `max-frame` whose body is being thrown away (section 3, *Too large*).
  mutating func tooLarge(_ frame: DecodedFrame, from slot: Slot, now: UInt64, into actions: inout ActionBuffer) {
    let reason = "a body of \(frame.header.bodyBytes) bytes, \(limits.frameBytes) are the most (max-frame)"
    if frame.kind == .complete {
      completeTooLarge(frame, from: slot, reason, now: now, into: &actions)
    } else if frame.kind.isAnsweredByResult {
      if frame.header.id != 0 {
        refuse(frame.header, to: slot, .tooLarge, "\(frame.kind) has \(reason)", into: &actions)
      }
    } else {
      violate(slot, "\(frame.kind) has \(reason)", into: &actions)
    }
  }

  // MARK: The daemon leaves

  /// The daemon is to stop: new calls are refused, those that run have `graceMilliseconds` to end.
  package mutating func stop(graceMilliseconds: UInt32, now: UInt64, into actions: inout ActionBuffer) {
    guard phase == .running else { return }
    phase = .draining(untilMilliseconds: Self.milliseconds(now) + UInt64(graceMilliseconds))
    for slot in peers.all where !peers[slot].isLocal {
      send(
        FrameHeader(kind: .goaway, status: .shuttingDown, timeoutMilliseconds: graceMilliseconds), to: slot,
        text: "the daemon is shutting down", into: &actions)
    }
    drainedIfEmpty()
  }

  /// The grace is over: what still runs ends with SHUTTING_DOWN.
  package mutating func endGrace(now: UInt64, into actions: inout ActionBuffer) {
    guard case .draining = phase else { return }
    for slot in calls.slots where [.queued, .running].contains(calls[slot].pointee.state) {
      end(calls[slot], .shuttingDown, now: now, into: &actions) { name, _ in
        "\(name): the daemon shut down before there was an outcome"
      }
    }
    phase = .drained
  }

  /// Whether the daemon was told to stop and no call waits for its outcome any more.
  package var isDrained: Bool { phase == .drained }

  mutating func drainedIfEmpty() {
    if case .draining = phase, outstanding == 0 { phase = .drained }
  }
}
