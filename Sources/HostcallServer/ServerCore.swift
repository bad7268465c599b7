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
  @exclusivity(unchecked) var actions = ActionBuffer()
  /// Connections by the place of their peer in the bridge.
  @exclusivity(unchecked) var connections = ConnectionTable()
  @exclusivity(unchecked) var dirty: [PeerID] = []
  /// Frames for peers in this process, which are handled when the bridge's actions are carried out.
  @exclusivity(unchecked) var localFrames: [LocalFrame] = []
  @exclusivity(unchecked) var closing: [PeerID] = []
  var descriptorAccounts = DescriptorAccounts()
  /// What has been read is taken apart before the next read, so one buffer serves all connections.
  let readBuffer = ReadBuffer()
  @exclusivity(unchecked) var modest = TurnShare.Modest()
  /// Whether in this turn somebody had more to say than its share, or somebody connected, who is seldom alone.
  @exclusivity(unchecked) var mayKeepOthersWaiting = false
  /// What an earlier process has left, until it is taken up.
  var inheritance: (handedOver: HandedOver, rest: StateCoder)?
  /// The socket on which that process listened, until this one does.
  var inheritedListener: HandedOver.Listener?
  var place: SocketPlace?
  var listeners: [SocketListener] = []
  /// Whether it leaves because it could not hand over, and nobody has told it to leave.
  var leavesUnasked = false
  var wakeTimer: LoopTimer?
  var lingerTimer: LoopTimer?
  var lingerIsOver = false
  var turnHook: LoopTurnHook?
  /// Whom so much waits for that it is to leave before all that was read is taken.
  @exclusivity(unchecked) var overdue = PeerID.nobody
  var shrinkTimer: LoopTimer?
  @exclusivity(unchecked) var shrinkingIsDue = false
  /// Whether some of a large frame has come since memory was given back.
  @exclusivity(unchecked) var usesSegments = false
  /// Peers, and names that they had, that have gone since memory was given back.
  @exclusivity(unchecked) var goneSinceShrinking = 0
  /// What ``freedBytes`` was then.
  @exclusivity(unchecked) var freedBytesAtShrinking = 0
  @exclusivity(unchecked) var armedMilliseconds: UInt64?
  var logLimiter: LogLimiter
  var logTimer: LoopTimer?
  var logTimerIsArmed = false
  var pulseTimer: LoopTimer?
  var loadTimer: LoopTimer?
  var loadTimerIsArmed = false
  var toldLoad: ServerLoad?
  /// Workers that are started when they are wanted, those that run as processes of this one's, and those of which a file says
  /// that they are wanted, by their places.
  var supervision: Supervision
  var commands: [Int: RunningCommand] = [:]
  /// Processes of workers that the configuration does not have any more, by their numbers.
  var retired: [Int32: RunningCommand] = [:]
  var commandTimer: LoopTimer?
  var wishes: Set<Int> = []
  var supervisionTimer: LoopTimer?
  var supervisionWake: UInt64?
  /// Where peers connect, where a service manager has opened that socket.
  var clientsPath: String?
  var idleTimer: LoopTimer?
  var idleTimerIsArmed = false
  var endWaiters: [CheckedContinuation<Void, Never>] = []
  var builtInPeer = PeerID.nobody
  var builtIns: [UInt32: BuiltInFunction] = [:]
  var host: LocalHost

  init(_ configuration: HostcallServer.Configuration, loop: EventLoop) {
    var configuration = configuration
    // Nothing of it is kept once it was read.
    let handedOver = configuration.handedOver
    configuration.handedOver = nil
    self.configuration = configuration
    self.loop = loop
    supervision = Supervision(configuration.workers)
    let now = loop.nowNanoseconds()
    logLimiter = LogLimiter(intervalMilliseconds: configuration.limits.logRepeatMilliseconds)
    var generator = SystemRandomNumberGenerator()
    let instance = (0..<32).map { _ in String(UInt8.random(in: 0...15, using: &generator), radix: 16) }.joined()
    let secret = generator.next()
    func makeBridge() -> Bridge {
      Bridge(
        limits: configuration.limits, limitsByUser: configuration.limitsByUser, policy: configuration.policy,
        identity: DaemonIdentity(server: "hostcalld/\(HostcallVersion.current)", instance: instance),
        secret: secret, now: now)
    }
    bridge = makeBridge()
    if let handedOver {
      do throws(StateError) {
        var state = handedOver.begin()
        try bridge.code(&state)
        inheritance = (handedOver, state)
      } catch {
        handedOver.closeConnections()
        bridge = makeBridge()
        configuration.onEvent(HandedOver.notTakenOver(error.description))
      }
    }
    bridge.tracesCalls = configuration.tracesCalls
    bridge.setOnDemand(configuration.workers)
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

  let onReadable = entry { $0.readable($1) }
  let onWritable = entry { $0.writable($1) }
  let onTurn = entry { core, _ in core.endTurn() }

  /// Runs `body` inside, after everything that was handed in before. Any thread.
  nonisolated func enter(_ body: @escaping @Sendable (isolated ServerCore) -> Void) {
    loop.execute { self.assumeIsolated(body) }
  }

  // MARK: Starting

  /// Registers the built-in functions and begins to look after time and output. Once, before anything else.
  func prepare() {
    turnHook = LoopTurnHook(loop) { [unowned self, onTurn] in onTurn(self, .nobody) }
    wakeTimer = LoopTimer(loop) { [unowned self] in assumeIsolated { $0.hitTime() } }
    if let (handedOver, state) = inheritance {
      inheritance = nil
      inheritedListener = handedOver.listener
      var rest = state
      takeUp(handedOver, &rest)
    }
    for (index, function) in BuiltInFunction.allCases.enumerated() {
      builtIns[UInt32(index + 1)] = function
      let header = FrameHeader(
        kind: .register, id: UInt64(index + 1), aux: UInt32(configuration.limits.concurrency))
      submit(FrameEncoder.encode(header, name: function.rawValue), from: builtInPeer)
    }
    settle()
  }

  // MARK: Connections

  func accept(_ descriptor: Int32, isReserved: Bool) {
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
    let peer: PeerID
    do throws(ConnectionRefusal) {
      peer = try bridge.peerConnected(PeerIdentity(credentials), isReserved: isReserved, now: loop.nowNanoseconds())
    } catch {
      return refuse(stream, credentials, error)
    }
    let connection = Connection(
      peer: peer, stream: stream, credentials: credentials, limits: bridge.limits(of: peer), segments: loop.segmentPool)
    connections.insert(connection)
    begin(connection)
    report(.debug, "peer connected", describe(credentials) + (connection.unit.map { [("unit", $0)] } ?? []))
  }

  /// Begins to read from a connection, and to hear of it.
  func begin(_ connection: Connection) {
    let (peer, stream) = (connection.peer, connection.stream)
    stream.onReadable = { [unowned self, onReadable] in onReadable(self, peer) }
    stream.onWritable = { [unowned self, onWritable] in onWritable(self, peer) }
    stream.onHangUpWhilePaused = { [unowned self] in assumeIsolated { $0.hungUp(peer) } }
    stream.acceptsDescriptors = true
    if !connection.isPaused { stream.startReading() }
    if configuration.tracesCalls {
      connection.unit = SystemUnit.name(ofProcess: connection.credentials.processID)
    }
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
  func perform(
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

  // MARK: Time

  func armTimer() {
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
}
