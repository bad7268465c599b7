import Glibc
import HostcallBridge
import HostcallFunctions
import HostcallLoop
import HostcallWire

/// Joins the bridge and the loop: hands facts to the one, carries out its actions on the other, and holds no rule.
///
/// All of it runs on the loop thread, which is its executor; callbacks of the loop enter by `assumeIsolated`, those that
/// come for every call by ``Entry``.
///
/// - `idle`: made, not listening; calls and registrations of this process work. To `serving`, `leaving`.
/// - `serving`: listens, if it has a path. To `leaving`.
/// - `leaving`: accepts nobody; the bridge waits for the calls that run. To `lingering`.
/// - `lingering`: no call is left; peers read what was sent to them. To `ended`.
/// - `ended`: every connection is closed and the path is free.
actor ServerCore {
  enum Phase {
    case idle
    case serving
    case leaving
    case lingering
    case ended
  }

  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  let configuration: HostcallServer.Configuration
  // What each frame passes through is not checked for overlapping accesses, which costs as much as the rest: it belongs
  // to the loop thread, and while one of these is changed nothing of this actor is entered again.
  @exclusivity(unchecked) var bridge: Bridge
  @exclusivity(unchecked) var phase = Phase.idle
  @exclusivity(unchecked) private var actions = ActionBuffer()
  /// Connections by the place of their peer in the bridge.
  @exclusivity(unchecked) var connections = ConnectionTable()
  @exclusivity(unchecked) private var dirty: [PeerID] = []
  /// Frames for peers in this process, which are handled when the bridge's actions are carried out.
  @exclusivity(unchecked) private var localFrames: [LocalFrame] = []
  @exclusivity(unchecked) private var closing: [PeerID] = []
  private var descriptorAccounts = DescriptorAccounts()
  /// What has been read is taken apart before the next read, so one buffer serves all connections.
  private let readBuffer = ReadBuffer()
  @exclusivity(unchecked) private var modest = TurnShare.Modest()
  /// Whether in this turn somebody had more to say than its share, or somebody connected, who is seldom alone.
  @exclusivity(unchecked) private var mayKeepOthersWaiting = false
  private var place: SocketPlace?
  private var listeners: [SocketListener] = []
  private var wakeTimer: LoopTimer?
  private var lingerTimer: LoopTimer?
  private var turnHook: LoopTurnHook?
  /// Whom so much waits for that it is to leave before all that was read is taken.
  @exclusivity(unchecked) private var overdue = PeerID.nobody
  private var shrinkTimer: LoopTimer?
  @exclusivity(unchecked) private var shrinkingIsDue = false
  /// Whether some of a large frame has come since memory was given back.
  @exclusivity(unchecked) private var usesSegments = false
  /// Peers, and names that they had, that have gone since memory was given back.
  @exclusivity(unchecked) private var goneSinceShrinking = 0
  /// What ``freedBytes`` was then.
  @exclusivity(unchecked) private var freedBytesAtShrinking = 0
  @exclusivity(unchecked) private var armedMilliseconds: UInt64?
  var logLimiter: LogLimiter
  var logTimer: LoopTimer?
  var logTimerIsArmed = false
  var pulseTimer: LoopTimer?
  var loadTimer: LoopTimer?
  var loadTimerIsArmed = false
  var toldLoad: ServerLoad?
  var idleTimer: LoopTimer?
  var idleTimerIsArmed = false
  private var endWaiters: [CheckedContinuation<Void, Never>] = []
  private var builtInPeer = PeerID.nobody
  private var builtIns: [UInt32: BuiltInFunction] = [:]
  var host: LocalHost

  init(_ configuration: HostcallServer.Configuration, loop: EventLoop) {
    self.configuration = configuration
    self.loop = loop
    let now = loop.nowNanoseconds()
    logLimiter = LogLimiter(intervalMilliseconds: configuration.limits.logRepeatMilliseconds)
    var generator = SystemRandomNumberGenerator()
    let instance = (0..<32).map { _ in String(UInt8.random(in: 0...15, using: &generator), radix: 16) }.joined()
    bridge = Bridge(
      limits: configuration.limits, limitsByUser: configuration.limitsByUser, policy: configuration.policy,
      identity: DaemonIdentity(server: "hostcalld/\(HostcallVersion.current)", instance: instance),
      secret: generator.next(), now: now)
    bridge.tracesCalls = configuration.tracesCalls
    let identity = PeerIdentity(userID: getuid(), groupID: getgid(), processID: getpid())
    do throws(ConnectionRefusal) {
      builtInPeer = try bridge.peerConnected(identity, isLocal: true, client: "built-in functions", now: now)
      host = LocalHost(
        peer: try bridge.peerConnected(
          identity, isLocal: true, client: "this process", takesDescriptors: true, now: now))
    } catch {
      preconditionFailure("a new bridge refuses its own process: \(error.reason)")
    }
  }

  /// How the loop's callbacks for each turn and each read come in: as by `assumeIsolated`, which asks the runtime where it
  /// is and allocates memory each time. A function that is isolated to its argument is called like one that is not; the
  /// loop calls back on the loop thread alone, and what reads and writes a stream checks that.
  typealias Entry = @Sendable (ServerCore, PeerID) -> Void

  private static func entry(_ body: @escaping @Sendable (isolated ServerCore, PeerID) -> Void) -> Entry {
    unsafeBitCast(body, to: Entry.self)
  }

  private let onReadable = entry { $0.readable($1) }
  private let onWritable = entry { $0.writable($1) }
  private let onTurn = entry { core, _ in core.endTurn() }

  /// Runs `body` inside, after everything that was handed in before. Any thread.
  nonisolated func enter(_ body: @escaping @Sendable (isolated ServerCore) -> Void) {
    loop.execute { self.assumeIsolated(body) }
  }

  // MARK: Starting

  /// Registers the built-in functions and begins to look after time and output. Once, before anything else.
  func prepare() {
    turnHook = LoopTurnHook(loop) { [unowned self, onTurn] in onTurn(self, .nobody) }
    wakeTimer = LoopTimer(loop) { [unowned self] in assumeIsolated { $0.hitTime() } }
    for (index, function) in BuiltInFunction.allCases.enumerated() {
      builtIns[UInt32(index + 1)] = function
      let header = FrameHeader(
        kind: .register, id: UInt64(index + 1), aux: UInt32(configuration.limits.concurrency))
      submit(FrameEncoder.encode(header, name: function.rawValue), from: builtInPeer)
    }
    settle()
  }

  /// Takes the path and listens.
  func listen() throws(ServerError) {
    guard phase != .serving else { throw ServerError("this server has been started already") }
    guard phase == .idle else { return }
    if !configuration.inheritedSockets.isEmpty {
      for socket in configuration.inheritedSockets {
        do throws(LoopError) {
          listeners.append(try accepting(on: socket.descriptor, isReserved: socket.name == Self.administrators))
        } catch {
          throw ServerError(error.description)
        }
        report(.info, "listening", [("inherited", socket.name)])
      }
    } else if let path = configuration.socketPath {
      let place = try SocketPlace.claim(path)
      let descriptor = try place.listen(backlog: configuration.backlog, mode: configuration.socketMode)
      do throws(LoopError) {
        listeners = [try accepting(on: descriptor, isReserved: false)]
      } catch {
        close(descriptor)
        place.removeSocket()
        throw ServerError(error.description)
      }
      self.place = consume place
      report(.info, "listening", [("socket", path)])
    }
    phase = .serving
    tell(.serving)
    beginPulse()
    noteIdling()
  }

  /// The name of an inherited socket on which connections are taken whatever limits on them are met: to look after a daemon
  /// that others keep busy.
  private static let administrators = "admin"

  private func accepting(on descriptor: Int32, isReserved: Bool) throws(LoopError) -> SocketListener {
    try SocketListener(
      loop, descriptor: descriptor,
      onAccept: { [unowned self] descriptor in assumeIsolated { $0.accept(descriptor, isReserved: isReserved) } },
      onFailure: { [unowned self] error in
        assumeIsolated { $0.reportSeldom(.warning, "cannot accept connections", [("error", error.description)]) }
      })
  }

  func leave(on signals: [Int32]) throws(ServerError) {
    try watch(signals) { [unowned self] in assumeIsolated { $0.signalled() } }
  }

  func watch(_ signals: [Int32], _ handler: @escaping @Sendable () -> Void) throws(ServerError) {
    for number in signals {
      do throws(LoopError) {
        // The loop owns the handle until it stops.
        _ = try LoopSignal(loop, number: number, onSignal: handler)
      } catch {
        throw ServerError(error.description)
      }
    }
  }

  private func signalled() {
    if phase == .idle || phase == .serving { leave(grace: configuration.shutdownGrace) } else { leaveNow() }
  }

  // MARK: Connections

  private func accept(_ descriptor: Int32, isReserved: Bool) {
    mayKeepOthersWaiting = true
    do throws(LoopError) {
      let stream = try SocketStream(loop, descriptor: descriptor)
      do throws(LoopError) {
        try open(
          stream, credentials: stream.peerCredentials(), descriptor: descriptor, isReserved: isReserved)
      } catch {
        stream.close()
        report(.warning, "connection dropped", [("error", error.description)])
      }
    } catch {
      close(descriptor)
      report(.warning, "connection dropped", [("error", error.description)])
    }
  }

  private func open(
    _ stream: SocketStream, credentials: PeerCredentials, descriptor: Int32, isReserved: Bool
  ) throws(LoopError) {
    let identity = PeerIdentity(
      userID: credentials.userID, groupID: credentials.groupID, groupIDs: credentials.groupIDs,
      processID: credentials.processID)
    let peer: PeerID
    do throws(ConnectionRefusal) {
      peer = try bridge.peerConnected(identity, isReserved: isReserved, now: loop.nowNanoseconds())
    } catch {
      return refuse(stream, credentials, error)
    }
    let connection = Connection(
      peer: peer, stream: stream, credentials: credentials, limits: bridge.limits(of: peer), segments: loop.segmentPool)
    connections.insert(connection)
    stream.onReadable = { [unowned self, onReadable] in onReadable(self, peer) }
    stream.onWritable = { [unowned self, onWritable] in onWritable(self, peer) }
    stream.onHangUpWhilePaused = { [unowned self] in assumeIsolated { $0.hungUp(peer) } }
    stream.acceptsDescriptors = true
    stream.startReading()
    if configuration.tracesCalls { connection.unit = SystemUnit.name(ofProcess: credentials.processID) }
    report(.debug, "peer connected", describe(credentials) + (connection.unit.map { [("unit", $0)] } ?? []))
  }

  private func refuse(_ stream: SocketStream, _ credentials: PeerCredentials, _ refusal: ConnectionRefusal) {
    let goaway = FrameEncoder.encode(
      FrameHeader(kind: .goaway, status: refusal.status), payload: Array(refusal.reason.utf8))
    stream.output.appendFrame(byteCount: goaway.count) { $0.copyBytes(from: goaway) }
    _ = stream.flush()
    stream.close()
    let limit = refusal.notice.map { [("limit", $0.limit), ("value", "\($0.value)")] } ?? []
    reportSeldom(
      .warning, "connection refused", userID: credentials.userID, processID: credentials.processID,
      about: refusal.notice?.limit, limit + [("reason", refusal.reason)])
  }

  private func readable(_ peer: PeerID) {
    guard let connection = connections.find(peer) else { return }
    let now = loop.nowNanoseconds()
    let most = connection.share.bytes(for: peer, beside: modest, now: now)
    var direct = 0
    let outcome =
      connection.readsLarge
      ? readLarge(most, from: connection, direct: &direct)
      : connection.stream.read(into: UnsafeMutableRawBufferPointer(rebasing: readBuffer.bytes[..<most]))
    switch outcome {
    case .bytes(let count):
      take(UnsafeRawBufferPointer(rebasing: readBuffer.bytes[..<(count - direct)]), from: connection, now: now)
      connection.share.took(count, of: peer, from: now, to: loop.nowNanoseconds(), &modest)
      if count == most, most < TurnShare.mostBytes { mayKeepOthersWaiting = true }
    case .wouldBlock: break
    case .endOfStream: lose(connection)
    case .failed(let code):
      connection.reason = LoopError.text(ofCode: code)
      lose(connection)
    }
    settle()
  }

  /// Reads what is missing of a large frame straight to where it stays, `direct` bytes, and what follows it into the buffer
  /// that all share; up to `most` bytes in all.
  private func readLarge(_ most: Int, from connection: Connection, direct: inout Int) -> ReadOutcome {
    var room = connection.decoder.pointee.room(upTo: most)
    let directRoom = room.reduce(0) { $0 + $1.count }
    let tail = most - directRoom
    if tail > 0 { room.append(UnsafeMutableRawBufferPointer(rebasing: readBuffer.bytes[..<tail])) }
    let outcome = connection.stream.read(into: room)
    if case .bytes(let count) = outcome { direct = min(count, directRoom) }
    connection.decoder.pointee.didRead(direct)
    return outcome
  }

  /// Takes frames out of bytes that have come, one after another, and lets the bridge and the loop act on each.
  private func take(_ bytes: UnsafeRawBufferPointer, from connection: Connection, now: UInt64) {
    var descriptors = ArrivedDescriptors(
      begun: connection.begunDescriptors,
      fresh: connection.stream.takeReceivedDescriptors().map { charge($0, of: connection) })
    let peer = connection.peer
    bridge.peerIsHeard(peer, now: now)
    let decoder = connection.decoder
    decoder.pointee.begin(bytes)
    do throws(ProtocolViolation) {
      let hasDescriptors = !descriptors.isEmpty
      while !connection.isClosed, try decoder.pointee.advance() {
        if hasDescriptors || decoder.pointee.frame.isLarge {
          take(decoder.pointee.frame, &descriptors, from: peer, now: now)
        } else {
          bridge.received(decoder.pointee.frame, from: peer, now: now, into: &actions)
          perform(incoming: decoder.pointee.frame.body)
          if overdue != .nobody { flushOverdue() }
        }
      }
      connection.begunDescriptors = try descriptors.rest(isBetweenFrames: decoder.pointee.isBetweenFrames)
    } catch {
      bridge.peerBrokeProtocol(connection.peer, error, into: &actions)
      perform()
    }
    decoder.pointee.end()
    if decoder.pointee.keptBytes != connection.keptBytes, !connection.isClosed {
      connection.readsLarge = decoder.pointee.missingLargeBytes > 0
      if connection.readsLarge { usesSegments = true }
      connection.keptBytes = decoder.pointee.keptBytes
      bridge.peerKeeps(connection.peer, inputBytes: decoder.pointee.keptBytes, into: &actions)
    }
  }

  /// Takes a frame that may have descriptors with it, or whose body has memory of its own.
  @inline(never)
  private func take(_ frame: DecodedFrame, _ descriptors: inout ArrivedDescriptors, from peer: PeerID, now: UInt64) {
    bridge.received(
      frame, descriptors: descriptors.take(for: frame.header), from: peer, now: now, into: &actions)
    if frame.isLarge { usesSegments = true }
    perform(incoming: frame.body, large: frame.large)
  }

  /// Sends to a peer what has come together for it while more is taken.
  @inline(never)
  private func flushOverdue() {
    let peer = overdue
    overdue = .nobody
    dirty.removeAll { $0 == peer }
    connections.markClean(peer)
    if let connection = connections.find(peer) { flush(connection) }
    perform()
  }

  private func charge(_ received: PassedDescriptors, of connection: Connection) -> ChargedDescriptors {
    ChargedDescriptors(
      received, to: descriptorAccounts.account(of: connection.credentials.userID),
      limit: bridge.limits(of: connection.peer).descriptorsPerUser)
  }

  private func writable(_ peer: PeerID) {
    guard let connection = connections.find(peer) else { return }
    flush(connection)
    settle()
  }

  private func hungUp(_ peer: PeerID) {
    guard let connection = connections.find(peer) else { return }
    connection.isPaused = false
    connection.stream.startReading()
  }

  // MARK: Output

  /// Everything that this turn has brought goes out, one write a peer, and the timer is set for what comes next.
  private func endTurn() {
    while let peer = dirty.popLast() {
      connections.markClean(peer)
      if let connection = connections.find(peer) { flush(connection) }
      if dirty.isEmpty { settle() }
    }
    letModestPeersRun()
    armTimer()
    shrinkAfterBurst()
    noteLoad()
    noteIdling()
    if phase == .leaving, bridge.isDrained { linger() }
    if phase == .lingering, !connections.all.contains(where: { $0.stream.output.queuedBytes > 0 }) { end() }
  }

  /// Lets whoever was woken run before this thread goes on with what one peer has a lot of: they may wait for the very
  /// processor that it runs on, for as long as the scheduler lets it go on, which can be milliseconds.
  private func letModestPeersRun() {
    guard mayKeepOthersWaiting else { return }
    mayKeepOthersWaiting = false
    sched_yield()
  }

  private func flush(_ connection: Connection) {
    if case .failed(let code) = connection.stream.flush() {
      connection.reason = LoopError.text(ofCode: code)
      return lose(connection)
    }
    let waiting = connection.stream.output.queuedBytes
    bridge.peerHasTaken(
      connection.peer, sentBytes: connection.stream.output.sentBytes, now: loop.nowNanoseconds(), into: &actions)
    if waiting > connection.outputBytesBeforeClose {
      bridge.peerIsStuck(connection.peer, into: &actions)
    } else if waiting > connection.outputBytesBeforePause {
      connection.isBacklogged = true
      bridge.peerIsBacklogged(connection.peer)
      // A worker is heard nevertheless: it may have to get rid of a completion before it reads on.
      if !connection.isPaused, !bridge.isWorking(connection.peer) {
        connection.isPaused = true
        connection.stream.pauseReading()
      }
    } else if waiting <= connection.outputBytesBeforePause / 2, connection.isBacklogged {
      connection.isBacklogged = false
      if connection.isPaused {
        connection.isPaused = false
        connection.stream.startReading()
      }
      bridge.peerCanTakeMore(connection.peer, now: loop.nowNanoseconds(), into: &actions)
    }
  }

  /// The connection has ended: the bridge hears of it, with what had not left.
  private func lose(_ connection: Connection) {
    guard !connection.isClosed else { return }
    connection.isClosed = true
    connections.remove(connection.peer)
    let stream = connection.stream
    let names = bridge.nameCount(of: connection.peer)
    bridge.peerIsGone(
      connection.peer, sentBytes: stream.output.sentBytes, now: loop.nowNanoseconds(), into: &actions
    ) { end, byteCount in
      let descriptors = stream.output.descriptors(ofFrameEndingAt: end).map { ChargedDescriptors($0) }
      if let large = stream.output.owner(ofFrameEndingAt: end) as? LargeBody {
        return UnsentFrame(endOf: large, descriptors: descriptors)
      }
      return stream.output.withFrame(endingAt: end, byteCount: byteCount) {
        UnsentFrame(bytes: $0, descriptors: descriptors)
      }
    }
    perform()
    stream.close()
    goneSinceShrinking += 1 + names
    for listener in listeners { listener.resume() }
    report(.debug, "peer disconnected", describe(connection.credentials) + [("reason", connection.reason)])
  }

  // MARK: Actions

  /// Hands the bridge a frame of a peer in this process.
  func submit(_ bytes: [UInt8], descriptors: HostcallDescriptors = .none, from peer: PeerID) {
    bytes.withUnsafeBytes { bytes in
      let header = FrameHeader(loading: bytes.baseAddress!)
      guard let kind = header.kind else { preconditionFailure("a frame of this process has no kind") }
      let isTooLarge = Int(header.bodyBytes) > configuration.limits.frameBytes
      let body = UnsafeRawBufferPointer(rebasing: bytes[FrameHeader.byteCount...])
      let frame = DecodedFrame(
        header: header, kind: kind, body: isTooLarge ? UnsafeRawBufferPointer(start: nil, count: 0) : body,
        isTooLarge: isTooLarge)
      bridge.received(
        frame, descriptors: descriptors.passed.map { ChargedDescriptors($0) }, from: peer, now: loop.nowNanoseconds(),
        into: &actions)
      perform(incoming: frame.body)
    }
  }

  /// Carries out what the bridge has asked for. `incoming` is the body of the frame that was handed in, or the head of it
  /// where it is `large`.
  private func perform(
    incoming: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0), large: LargeBody? = nil
  ) {
    if actions.isEmpty { return }
    let frames = actions.frames
    for place in 0..<frames.count {
      let frame = frames.baseAddress.unsafelyUnwrapped + place
      switch connections.append(frame, incoming: incoming) {
      case .appended: break
      case .appendedFirst: dirty.append(frame.pointee.peer)
      case .appendedMany: overdue = frame.pointee.peer
      case .notPlain, .nobody: deliver(frame.pointee, incoming: incoming, large: large)
      }
    }
    if actions.hasMore { performTheRest() }
    actions.removeAll()
  }

  @inline(never)
  private func performTheRest() {
    for notice in actions.callNotices { report(notice) }
    for notice in actions.limitsMet { report(notice) }
    closing += actions.closings
  }

  /// Appends a frame that is not like most.
  @inline(never)
  private func deliver(_ frame: OutgoingFrame, incoming: UnsafeRawBufferPointer, large: LargeBody?) {
    guard let connection = connections.find(frame.peer) else {
      return deliverHere(frame, incoming: incoming, large: large)
    }
    connection.append(frame, actions, incoming: incoming, large: large)
    if frame.header.kindByte == FrameKind.goaway.rawValue, frame.header.status != .shuttingDown {
      noteGoaway(frame, connection)
    }
    if connections.markDirty(frame.peer) { dirty.append(frame.peer) }
  }

  /// Keeps a frame for a peer in this process, if it is one's.
  @inline(never)
  private func deliverHere(_ frame: OutgoingFrame, incoming: UnsafeRawBufferPointer, large: LargeBody?) {
    guard frame.peer == host.peer || frame.peer == builtInPeer else { return }
    localFrames.append(LocalFrame(frame, actions, incoming: incoming, large: large))
  }

  private func noteGoaway(_ frame: OutgoingFrame, _ connection: Connection) {
    actions.withPrefix(of: frame) { prefix in
      connection.reason = String(decoding: prefix, as: UTF8.self)
    }
    reportSeldom(
      .notice, "peer refused", userID: connection.credentials.userID, processID: connection.credentials.processID,
      [("status", "\(frame.header.status)"), ("reason", connection.reason)])
  }

  /// Handles what carrying out actions has led to, until nothing is left.
  func settle() {
    if actions.isEmpty, localFrames.isEmpty, closing.isEmpty { return }
    settleTheRest()
  }

  @inline(never)
  private func settleTheRest() {
    perform()
    while !localFrames.isEmpty || !closing.isEmpty {
      for peer in closing {
        guard let connection = connections.find(peer) else { continue }
        _ = connection.stream.flush()
        lose(connection)
      }
      closing.removeAll(keepingCapacity: true)
      let frames = localFrames
      localFrames.removeAll(keepingCapacity: true)
      for frame in frames { receive(frame) }
    }
  }

  private func receive(_ frame: LocalFrame) {
    if frame.peer == host.peer { return hostReceived(frame) }
    guard frame.header.kind == .invoke, let function = builtIns[frame.header.function] else { return }
    let now = loop.nowNanoseconds()
    let result = frame.withDecoded { invoke in
      Result { try function.reply(to: invoke, bridge: bridge, now: now) }
    }
    let completion = Completion(correlationID: frame.header.id, result)
    submit(FrameEncoder.encode(completion.header, payload: completion.payload), from: builtInPeer)
  }

  // MARK: Policy

  func setPolicy(_ policy: Policy) {
    let change = bridge.setPolicy(policy, now: loop.nowNanoseconds(), into: &actions)
    settle()
    report(
      .notice, "policy set",
      [
        ("rules", "\(policy.rules.count)"), ("registrations-put-to-sleep", "\(change.slept)"),
        ("registrations-woken", "\(change.woken)"),
        ("subscriptions-put-to-sleep", "\(change.subscriptionsSlept)"),
        ("subscriptions-woken", "\(change.subscriptionsWoken)"),
      ])
  }

  // MARK: Memory

  /// Peers and names that have to go before it is worth the while to look for memory that can be given back.
  private static let goneBeforeShrinking = 256
  /// Bytes of frames and calls that have to be freed before it is.
  private static let freedBytesBeforeShrinking = 4 << 20
  private static let millisecondsBeforeShrinking: UInt64 = 500

  /// Bytes of frames that waited for peers, and of calls, that have been freed, ever.
  private var freedBytes: Int { loop.chunkPool.freedBytes &+ bridge.freedBytes }

  /// Looks for memory that can be given back where a burst is over, a little later: who goes is seldom alone.
  private func shrinkAfterBurst() {
    guard
      !shrinkingIsDue,
      usesSegments || goneSinceShrinking >= Self.goneBeforeShrinking
        || freedBytes &- freedBytesAtShrinking >= Self.freedBytesBeforeShrinking
    else { return }
    scheduleShrinking()
  }

  private func scheduleShrinking() {
    shrinkingIsDue = true
    shrinkTimer = shrinkTimer ?? LoopTimer(loop) { [unowned self] in assumeIsolated { $0.shrink() } }
    shrinkTimer?.schedule(afterMilliseconds: Self.millisecondsBeforeShrinking)
  }

  private func shrink() {
    shrinkingIsDue = false
    goneSinceShrinking = 0
    freedBytesAtShrinking = freedBytes
    bridge.shrink()
    connections.shrink()
    loop.chunkPool.dropSpare()
    usesSegments = false
    // What the burst has used until now goes when it has lain idle for as long again.
    if loop.segmentPool.dropUnneeded() > 0 { scheduleShrinking() }
    FreedMemory.giveBack()
  }

  // MARK: Time

  private func armTimer() {
    guard let wake = bridge.nextWakeMilliseconds() else { return }
    if let armedMilliseconds, armedMilliseconds <= wake { return }
    armedMilliseconds = wake
    let now = loop.nowNanoseconds() / 1_000_000
    wakeTimer?.schedule(afterMilliseconds: wake > now ? wake - now : 0)
  }

  private func hitTime() {
    armedMilliseconds = nil
    bridge.hitTime(now: loop.nowNanoseconds(), into: &actions)
    settle()
  }

  // MARK: Leaving

  /// Stops listening and begins to wait for the calls that run.
  func leave(grace: Duration) {
    guard phase == .idle || phase == .serving else { return }
    phase = .leaving
    for listener in listeners { listener.close() }
    listeners = []
    let milliseconds = UInt32(clamping: TimeoutRules.milliseconds(grace))
    report(.info, "shutting down", [("grace-ms", "\(milliseconds)")])
    tell(.leaving(withinMilliseconds: UInt64(milliseconds) + UInt64(configuration.limits.lingerMilliseconds)))
    bridge.stop(graceMilliseconds: milliseconds, now: loop.nowNanoseconds(), into: &actions)
    settle()
  }

  /// Waits for nothing any more.
  func leaveNow() {
    leave(grace: .zero)
    bridge.endGrace(now: loop.nowNanoseconds(), into: &actions)
    settle()
  }

  private func linger() {
    phase = .lingering
    let timer = LoopTimer(loop) { [unowned self] in assumeIsolated { $0.end() } }
    timer.schedule(afterMilliseconds: UInt64(configuration.limits.lingerMilliseconds))
    lingerTimer = timer
  }

  private func end() {
    guard phase == .lingering else { return }
    for connection in connections.all {
      connection.reason = "the daemon stopped"
      lose(connection)
    }
    settle()
    hostEnds()
    place?.removeSocket()
    place = nil
    phase = .ended
    tell(logLimiter.takeAllSuppressed())
    report(.info, "stopped")
    for waiter in endWaiters { waiter.resume() }
    endWaiters = []
  }

  /// Returns when the server has ended.
  func waitUntilEnded() async {
    guard phase != .ended else { return }
    await withCheckedContinuation { endWaiters.append($0) }
  }
}
