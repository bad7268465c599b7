import HostcallBridge
import HostcallWire

/// Any sequence of frames from several peers to the bridge, with time passing and connections ending in between: it must
/// not trap, it keeps its limits, and nothing is left when all are gone.
enum BridgeFuzzing {
  static func play(_ input: UnsafeRawBufferPointer) throws(FuzzingFailure) {
    var run = BridgeRun(input)
    run.play()
    try run.finish()
  }
}

/// One sequence, read from the input as it goes.
private struct BridgeRun: ~Copyable {
  private static let names = ["a", "a.b", "a.b.c", "b", "hostcall.x", "a.*", "*", "hostcall.*"]
  private static let keys = ["mode", "idempotent", "caller", "descriptors", "hostcall-x", "trace"]
  private static let values = ["shared", "exclusive", "replace", "true", "1", "strange"]

  private var input: UnsafeRawBufferPointer
  private var bridge: Bridge
  private var actions = ActionBuffer()
  private var peers: [PeerID] = []
  /// Bytes of all frames sent to each.
  private var sent: [PeerID: UInt64] = [:]
  /// Correlation ids that INVOKEs have shown.
  private var calls: [UInt64] = []
  private var now: UInt64 = 1_000_000_000

  init(_ input: UnsafeRawBufferPointer) {
    self.input = input
    var limits = Limits()
    limits.frameBytes = 1_024
    limits.connections = 6
    limits.callsInFlight = 12
    limits.callsInFlightPerConnection = 5
    limits.callsInFlightPerUser = 8
    limits.runningCallsPerUser = 6
    limits.queuedCallsPerFunction = 3
    limits.storedPayloadBytes = 500
    limits.functions = 16
    limits.registrationsPerConnection = 4
    limits.boundHandlesPerConnection = 3
    limits.subscriptionsPerConnection = 3
    limits.waitingEventsPerConnection = 3
    limits.streamItemsAhead = 3
    limits.livenessMilliseconds = 2_000
    limits.abandonedMilliseconds = 500
    limits.outputBytesPerConnection = 2_000
    bridge = Bridge(
      limits: limits, identity: DaemonIdentity(server: "fuzz", instance: "0"), secret: 0x5ec2e7, now: now)
  }

  mutating func play() {
    while !input.isEmpty {
      switch next() {
      case 0..<12: connect()
      case 12..<18: if let peer = anyPeer() { leave(peer, sentBytes: UInt64(next()) << UInt64(next() & 15)) }
      case 18..<30: pass(milliseconds: UInt64(next()) << UInt64(next() & 7))
      case 30..<36: if let peer = anyPeer() { bridge.peerIsBacklogged(peer) }
      case 36..<42: if let peer = anyPeer() { bridge.peerCanTakeMore(peer, now: now, into: &actions) }
      case 42..<50: if let peer = anyPeer() { takeAll(peer) }
      case 50: bridge.stop(graceMilliseconds: UInt32(next()), now: now, into: &actions)
      case 51..<56: if let peer = anyPeer() { bridge.peerKeeps(peer, inputBytes: Int(next()), into: &actions) }
      default: if let peer = anyPeer() { send(from: peer) }
      }
      perform()
    }
  }

  /// Everybody goes, and time passes: nothing may be left.
  mutating func finish() throws(FuzzingFailure) {
    while let peer = peers.last { leave(peer, sentBytes: 0) }
    pass(milliseconds: 4_000_000)
    guard bridge.remains.isEmpty else {
      throw FuzzingFailure("all peers are gone, and there remain \(bridge.remains)")
    }
  }

  // MARK: Facts

  private mutating func connect() {
    let identity = PeerIdentity(userID: UInt32(next() & 3), groupID: 1, processID: 1)
    let hasGreeted = next() & 15 > 0
    guard let peer = try? bridge.peerConnected(identity, now: now) else { return }
    peers.append(peer)
    if hasGreeted { receive(Greeting.hello(client: "fuzz", features: ["descriptors"]), from: peer) }
  }

  private mutating func leave(_ peer: PeerID, sentBytes: UInt64) {
    peers.removeAll { $0 == peer }
    let nothing = [UInt8](repeating: 0, count: 4_096)
    nothing.withUnsafeBytes { nothing in
      bridge.peerIsGone(peer, sentBytes: sentBytes, now: now, into: &actions) { _, byteCount in
        byteCount <= nothing.count ? UnsentFrame(bytes: UnsafeRawBufferPointer(rebasing: nothing[..<byteCount])) : nil
      }
    }
    perform()
  }

  /// All that was sent to a peer has left.
  private mutating func takeAll(_ peer: PeerID) {
    bridge.peerHasTaken(peer, sentBytes: sent[peer] ?? 0, now: now, into: &actions)
  }

  private mutating func pass(milliseconds: UInt64) {
    now += milliseconds * 1_000_000
    bridge.hitTime(now: now, into: &actions)
    perform()
  }

  private mutating func send(from peer: PeerID) {
    let kinds = FrameKind.allCases.filter { $0.maySend(.toDaemon) && $0 != .hello }
    let kind = kinds[Int(next()) % kinds.count]
    var header = FrameHeader(
      kind: kind, flags: FrameFlags(rawValue: next() & kind.allowedFlags.rawValue),
      encoding: .raw, status: kind == .complete ? Status(rawValue: next()) : .ok, id: id(),
      function: kind == .call && next() & 1 == 0 ? 0 : UInt32(next() & 7),
      timeoutMilliseconds: UInt32(next()) << UInt32(next() & 7), aux: UInt32(next() & 7))
    var name = ""
    if kind.nameRule != .unused, kind != .call || header.function == 0 {
      name = Self.names[Int(next()) % Self.names.count]
    }
    if kind == .unregister { header.function = UInt32(next() & 7) }
    var metadata = Metadata()
    for _ in 0..<(next() & 3) {
      metadata[Self.keys[Int(next()) % Self.keys.count]] = Self.values[Int(next()) % Self.values.count]
    }
    let payload = [UInt8](repeating: 7, count: Int(next()) * (next() & 31 == 0 ? 8 : 1))
    receive(FrameEncoder.encode(header, name: name, metadata: metadata, payload: payload), from: peer)
  }

  /// A request id out of few, or a call that was sent to somebody.
  private mutating func id() -> UInt64 {
    let choice = next()
    if choice & 1 == 0 || calls.isEmpty { return UInt64(choice & 15) }
    return calls[Int(choice >> 1) % calls.count]
  }

  private mutating func receive(_ bytes: [UInt8], from peer: PeerID) {
    bytes.withUnsafeBytes { bytes in
      var decoder = FrameDecoder(direction: .toDaemon, largestBodyBytes: 1_024)
      decoder.begin(bytes)
      do throws(ProtocolViolation) {
        while let frame = try decoder.next() {
          bridge.received(frame, from: peer, now: now, into: &actions)
          perform()
        }
      } catch {
        bridge.peerBrokeProtocol(peer, error, into: &actions)
      }
      decoder.end()
    }
    perform()
  }

  /// Looks at what is to be done, and reports peers that are to be closed as gone.
  private mutating func perform() {
    let closed = actions.closings
    for frame in actions.frames {
      sent[frame.peer, default: 0] += UInt64(frame.header.frameBytes)
      if frame.header.kind == .invoke { calls.append(frame.header.id) }
      if calls.count > 64 { calls.removeFirst(32) }
    }
    actions.removeAll()
    for peer in closed where peers.contains(peer) { leave(peer, sentBytes: 0) }
  }

  // MARK: Input

  private mutating func next() -> UInt8 {
    guard let byte = input.first else { return 0 }
    input = UnsafeRawBufferPointer(rebasing: input.dropFirst())
    return byte
  }

  private mutating func anyPeer() -> PeerID? {
    peers.isEmpty ? nil : peers[Int(next()) % peers.count]
  }
}
