import HostcallLoop
import HostcallTestSupport
import HostcallWire

/// A peer of the soak: caller, worker, publisher and subscriber over one connection, which it makes again when it ends.
///
/// What it sends is right, whatever happens to it on its way. It tells the ledger everything that it sees.
final class SoakPeer {
  struct Roles: OptionSet {
    let rawValue: Int
    static let caller = Roles(rawValue: 1)
    static let worker = Roles(rawValue: 2)
    static let events = Roles(rawValue: 4)
    /// Passes open files, which a proxy would drop.
    static let files = Roles(rawValue: 8)
  }

  /// A request that is no call.
  enum Request {
    case register(SoakFunction)
    case unregister(SoakFunction, handle: UInt32)
    case bind(SoakFunction, name: String)
    case subscribe
    case publish
  }

  /// Requests have this bit, which no correlation id has, so that frames of a peer that is caller and worker tell apart.
  static let requestBit: UInt64 = 1 << 63

  let world: SoakWorld
  let roles: Roles
  private let path: String
  private(set) var connection: SoakConnection?
  private var reconnectAt: UInt64 = 0
  private(set) var isWelcome = false
  private var nextRequest: UInt64 = 0
  var requests: [UInt64: Request] = [:]
  /// Nothing is read before this time: a slow reader.
  private var deafUntil: UInt64 = 0
  /// PINGs without a PONG, in order, and what the PONG says of: these completions have been taken, or were too late.
  private var pings: [(id: UInt64, confirms: [SoakInvocation])] = []
  private var nextPing: UInt64 = 0
  private var barrierPing: UInt64?
  private(set) var barrierHasPassed = false

  // As a caller.
  var outstanding: [UInt64: SoakCall] = [:]
  var bound: [(name: String, function: SoakFunction, handle: UInt32)] = []
  var cancelQueue: [(at: UInt64, request: UInt64)] = []

  // As a worker.
  var handles: [UInt32: (function: SoakFunction, concurrency: Int)] = [:]
  var leaving: Set<UInt32> = []
  /// Of REGISTERs that have no answer, by request.
  var concurrencies: [UInt64: Int] = [:]
  var running: [UInt64: SoakInvocation] = [:]
  /// Completed since the ledger has settled, by correlation id.
  var finished: [UInt64: SoakInvocation] = [:]
  /// Completed since the last PING.
  var unconfirmed: [SoakInvocation] = []
  var held: [SoakInvocation] = []
  var strays: [UInt64: Int] = [:]

  // As publisher and subscriber.
  var publisherIdentity: UInt64 = 0
  var eventsPublished: UInt64 = 0
  var lastEventPlace: UInt64 = 0
  var lastOfPublisher: [UInt64: UInt64] = [:]

  init(_ world: SoakWorld, path: String, roles: Roles) {
    self.world = world
    self.path = path
    self.roles = roles
  }

  var ledger: Ledger { world.ledger }
  var isOpen: Bool { connection != nil && isWelcome }

  func violated(_ what: String) { ledger.violated(what) }

  // MARK: A turn

  /// What is wanted of the socket: nothing where there is none.
  var reads: Bool { connection != nil && (deafUntil <= world.now || world.isQuiet) }
  var writes: Bool { connection.map { $0.queuedBytes > 0 } ?? false }

  /// Begins new work, as the random numbers have it.
  func step() {
    guard let connection else { return connect() }
    if isWelcome {
      if roles.contains(.caller) { stepAsCaller() }
      if roles.contains(.worker) { stepAsWorker() }
      if roles.contains(.events) { stepAsPublisher() }
      if !world.isQuiet { beUnkind() }
      if !unconfirmed.isEmpty, pings.count < 3, world.random.oneIn(10) { ping() }
    }
    if self.connection === connection, !connection.flush() { lose() }
  }

  func receive() {
    guard let connection else { return }
    do throws(ProtocolViolation) {
      if try !connection.receive(take) { return lose() }
      if connection.hasUnclaimedDescriptors { violated("descriptors came without a frame") }
    } catch {
      violated("the daemon broke the protocol: \(error.reason)")
      lose()
    }
  }

  /// Ends badly now and then, or does not read for a while.
  private func beUnkind() {
    if world.random.oneIn(4_000) { die() }
    if world.random.oneIn(400) { deafUntil = world.now + UInt64(world.random.below(20)) * 1_000_000 }
  }

  /// Ends the connection without a word, perhaps in the middle of a frame.
  func die() {
    guard let connection else { return }
    ledger.counts.peersKilled += 1
    let half = FrameEncoder.encode(
      FrameHeader(kind: .ping, id: 1), payload: [UInt8](repeating: 0, count: world.random.below(60)))
    connection.send(Array(half.prefix(world.random.below(half.count))))
    _ = connection.flush(limit: world.random.below(100_000))
    lose()
  }

  // MARK: The connection

  private func connect() {
    guard reconnectAt <= world.now else { return }
    guard let made = SoakConnection(path) else {
      reconnectAt = world.now + 5_000_000
      return
    }
    ledger.counts.connections += 1
    connection = made
    made.send(Greeting.hello(client: "soak/1", features: roles.contains(.files) ? ["descriptors"] : []))
    publisherIdentity = ledger.newIdentity()
    eventsPublished = 0
    if roles.contains(.worker) { registerAll() }
    if roles.contains(.events) { request(.subscribe, FrameHeader(kind: .subscribe), name: "soak.event.*") }
    if !made.flush() { lose() }
  }

  /// The connection has ended: nothing that was on its way has to arrive.
  func lose() {
    guard let connection else { return }
    connection.close()
    self.connection = nil
    isWelcome = false
    reconnectAt = world.now + UInt64(world.random.below(3)) * 1_000_000
    ledger.counts.connectionsLost += 1
    for call in outstanding.values { call.callerIsGone = true }
    outstanding = [:]
    bound = []
    cancelQueue = []
    for invocation in running.values { invocation.workerIsGone = true }
    for invocation in unconfirmed + pings.flatMap(\.confirms) { invocation.workerIsGone = true }
    for id in running.keys { world.runningIDs[id] = nil }
    handles = [:]
    leaving = []
    concurrencies = [:]
    running = [:]
    finished = [:]
    unconfirmed = []
    held = []
    strays = [:]
    requests = [:]
    lastEventPlace = 0
    lastOfPublisher = [:]
    pings = []
    barrierPing = nil
    barrierHasPassed = false
  }

  /// Whether nothing that it has begun or was given is still going on.
  var isIdle: Bool { outstanding.isEmpty && running.isEmpty && requests.isEmpty && !writes }

  /// The ledger has settled: what was completed is of no interest any more.
  func forget() {
    finished = [:]
    strays = [:]
  }

  func nextRequestID() -> UInt64 {
    nextRequest += 1
    return nextRequest | Self.requestBit
  }

  func request(_ request: Request, _ header: FrameHeader, name: String = "", payload: [UInt8] = []) {
    var header = header
    header.id = nextRequestID()
    requests[header.id] = request
    connection?.send(header, name: name, payload: payload)
  }

  /// Asks for a sign that everything sent so far was handled, and that everything from the daemon has come.
  func beginBarrier() {
    barrierHasPassed = false
    if isOpen { sendBarrier() }
  }

  private func sendBarrier() {
    ping()
    barrierPing = nextPing
  }

  private func ping() {
    nextPing += 1
    pings.append((nextPing, unconfirmed))
    unconfirmed = []
    connection?.send(FrameHeader(kind: .ping, id: nextPing))
  }

  private func takePong(_ header: FrameHeader) {
    guard let first = pings.first, first.id == header.id else { return violated("PONG \(header.id) out of order") }
    pings.removeFirst()
    if header.id == barrierPing { barrierHasPassed = true }
  }

  private func take(_ frame: DecodedFrame, _ descriptors: PassedDescriptors?) {
    let header = frame.header
    if header.flags.contains(.descriptors) != (descriptors != nil) || descriptors != nil && !roles.contains(.files) {
      violated("\(frame.kind) with the flags \(header.flags) and \(descriptors?.count ?? 0) descriptors")
    }
    switch frame.kind {
    case .welcome:
      isWelcome = true
      if world.isQuiet { sendBarrier() }
    case .ping: connection?.send(FrameHeader(kind: .pong, id: header.id), payload: Array(frame.payload))
    case .pong: takePong(header)
    case .goaway: violated("GOAWAY \(header.status): \(String(decoding: frame.payload, as: UTF8.self))")
    case .result: takeResult(frame, descriptors)
    case .invoke: takeInvoke(frame, descriptors)
    case .cancel: takeCancel(header)
    case .rejected: takeRejected(header)
    case .item: header.id & Self.requestBit != 0 ? takeResultItem(frame) : takeArgumentItem(frame)
    case .credit: header.id & Self.requestBit != 0 ? takeArgumentCredit(header) : takeItemCredit(header)
    case .event: takeEvent(frame)
    default: violated("\(frame.kind) from the daemon")
    }
  }
}
