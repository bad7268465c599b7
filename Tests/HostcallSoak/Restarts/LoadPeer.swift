import HostcallLoop
import HostcallTestSupport
import HostcallWire

/// A peer of the load: connects once, and whatever ends its connection is a violation.
class LoadPeer {
  /// No correlation id has this bit.
  static let requestBit: UInt64 = 1 << 63

  let connection: SoakConnection
  private(set) var violations: [String] = []
  private let name: String

  init(_ name: String, _ path: String) throws {
    guard let made = SoakConnection(path) else { throw SoakFailure("\(name) cannot connect to \(path)") }
    self.name = name
    connection = made
    made.send(Greeting.hello(client: "load/\(name)"))
  }

  func violated(_ what: String) {
    if violations.count < 10 { violations.append("\(name): \(what)") }
  }

  /// Takes what has come; false when the connection has ended.
  final func receive(now: UInt64) -> Bool {
    do throws(ProtocolViolation) {
      let isOpen = try connection.receive { frame, _ in
        switch frame.kind {
        case .welcome, .pong: break
        case .ping: connection.send(FrameHeader(kind: .pong, id: frame.header.id), payload: Array(frame.payload))
        case .goaway: violated("GOAWAY \(frame.header.status): \(String(decoding: frame.payload, as: UTF8.self))")
        default: take(frame, now: now)
        }
      }
      if !isOpen { violated("its connection has ended") }
      return isOpen
    } catch {
      violated("the daemon broke the protocol: \(error.reason)")
      return false
    }
  }

  /// A frame that is not the connection's own.
  func take(_ frame: DecodedFrame, now: UInt64) {
    violated("\(frame.kind) came")
  }

  /// Begins what it has to, as long as new work is wanted.
  func step(now: UInt64, isOver: Bool) {}

  /// Whether nothing that it has begun goes on.
  var isIdle: Bool { true }
}

/// Keeps so many calls in flight, and looks at every answer.
final class LoadCaller: LoadPeer {
  private let depth: Int
  private var sent: [UInt64: UInt64] = [:]
  private var last: UInt64 = 0
  /// How long each answered call took.
  private(set) var nanoseconds: [UInt64] = []
  /// The longest time in which no answer came while calls were in flight.
  private(set) var longestGap: UInt64 = 0
  private var lastAnswer: UInt64 = 0

  init(_ name: String, _ path: String, depth: Int) throws {
    self.depth = depth
    try super.init(name, path)
  }

  override var isIdle: Bool { sent.isEmpty }

  override func step(now: UInt64, isOver: Bool) {
    if lastAnswer == 0 { lastAnswer = now }
    while !isOver, sent.count < depth {
      last += 1
      let request = last | Self.requestBit
      sent[request] = now
      connection.send(
        FrameHeader(kind: .call, flags: .wait, id: request, timeoutMilliseconds: 60_000), name: "load.work",
        payload: SoakPayload(identity: request, number: 0).encoded(.request, byteCount: 64))
    }
  }

  override func take(_ frame: DecodedFrame, now: UInt64) {
    guard frame.kind == .result else { return super.take(frame, now: now) }
    guard let began = sent.removeValue(forKey: frame.header.id) else {
      return violated("a second outcome of \(frame.header.id), or one of nothing")
    }
    guard frame.header.status == .ok, SoakPayload(.answer, frame.payload)?.identity == frame.header.id else {
      return violated("\(frame.header.id) ended with \(frame.header.status), or with another's answer")
    }
    nanoseconds.append(now - began)
    longestGap = max(longestGap, now - lastAnswer)
    lastAnswer = now
  }
}

/// Answers calls, some of them later and in another order.
final class LoadWorker: LoadPeer {
  private var held: [UInt64: [UInt8]] = [:]
  private var taken = 0
  private var seen: Set<UInt64> = []

  override init(_ name: String, _ path: String) throws {
    try super.init(name, path)
    connection.send(FrameHeader(kind: .register, id: Self.requestBit | 1, aux: 4_096), name: "load.work")
  }

  override func step(now: UInt64, isOver: Bool) {
    if isOver { answerHeld() }
  }

  override func take(_ frame: DecodedFrame, now: UInt64) {
    switch frame.kind {
    case .result where frame.header.status == .ok: break
    case .invoke:
      guard let request = SoakPayload(.request, frame.payload), seen.insert(frame.header.id).inserted else {
        return violated("the call \(frame.header.id) came twice, or has another payload")
      }
      held[frame.header.id] = SoakPayload(identity: request.identity, number: frame.header.id).encoded(.answer)
      taken += 1
      // One of eight waits for others.
      if !taken.isMultiple(of: 8) { answer(frame.header.id) }
      if taken.isMultiple(of: 64) { answerHeld() }
    default: super.take(frame, now: now)
    }
  }

  private func answerHeld() {
    for id in held.keys { answer(id) }
  }

  private func answer(_ id: UInt64) {
    guard let payload = held.removeValue(forKey: id) else { return }
    connection.send(FrameHeader(kind: .complete, id: id), payload: payload)
  }
}

/// Calls for items, takes them in order, and calls again.
final class LoadStreamCaller: LoadPeer {
  static let itemsEach: UInt32 = 500
  private static let window: UInt32 = 32
  private var request: UInt64 = 0
  private var next: UInt32 = 0
  private var isOpen = false
  private(set) var items = 0
  private(set) var streams = 0

  override var isIdle: Bool { !isOpen }

  override func step(now: UInt64, isOver: Bool) {
    guard !isOpen, !isOver else { return }
    isOpen = true
    request += 1
    next = 0
    connection.send(
      FrameHeader(
        kind: .call, flags: .wait, id: request | Self.requestBit, timeoutMilliseconds: 60_000, aux: Self.window),
      name: "load.items")
  }

  override func take(_ frame: DecodedFrame, now: UInt64) {
    let header = frame.header
    guard isOpen, header.id == request | Self.requestBit else { return violated("\(frame.kind) of \(header.id)") }
    switch frame.kind {
    case .item:
      if header.aux != next { violated("item \(header.aux), where \(next) was next") }
      next += 1
      items += 1
      connection.send(FrameHeader(kind: .credit, id: header.id, aux: 1))
    case .result:
      if header.status != .ok || next != Self.itemsEach {
        violated("a stream ended with \(header.status) after \(next)")
      }
      isOpen = false
      streams += 1
    default: super.take(frame, now: now)
    }
  }
}

/// Sends items as far as it has credit.
final class LoadStreamWorker: LoadPeer {
  private var open: [UInt64: (sent: UInt32, credit: UInt32)] = [:]

  override init(_ name: String, _ path: String) throws {
    try super.init(name, path)
    connection.send(FrameHeader(kind: .register, id: Self.requestBit | 1, aux: 64), name: "load.items")
  }

  override func take(_ frame: DecodedFrame, now: UInt64) {
    let id = frame.header.id
    switch frame.kind {
    case .result where frame.header.status == .ok: break
    case .invoke:
      open[id] = (0, frame.header.aux)
      send(id)
    case .credit:
      // What was consumed when all items had been sent.
      guard open[id] != nil else { return }
      open[id]?.credit += frame.header.aux
      send(id)
    case .rejected: break
    default: super.take(frame, now: now)
    }
  }

  private func send(_ id: UInt64) {
    guard var stream = open[id] else { return }
    while stream.credit > 0, stream.sent < LoadStreamCaller.itemsEach {
      connection.send(FrameHeader(kind: .item, id: id, aux: stream.sent), payload: [1, 2, 3, 4])
      stream.sent += 1
      stream.credit -= 1
    }
    open[id] = stream
    guard stream.sent == LoadStreamCaller.itemsEach else { return }
    open[id] = nil
    connection.send(FrameHeader(kind: .complete, id: id))
  }
}

/// Publishes, and gets each of its own events once and in order.
final class LoadPublisher: LoadPeer {
  private var published: UInt64 = 0
  private(set) var received: UInt64 = 0
  private var isSubscribed = false

  override init(_ name: String, _ path: String) throws {
    try super.init(name, path)
    connection.send(FrameHeader(kind: .subscribe, id: Self.requestBit | 1), name: "load.event")
  }

  override var isIdle: Bool { received == published }

  override func step(now: UInt64, isOver: Bool) {
    guard isSubscribed, !isOver, published < received + 16 else { return }
    published += 1
    connection.send(FrameHeader(kind: .publish), name: "load.event", payload: [UInt8(truncatingIfNeeded: published)])
  }

  override func take(_ frame: DecodedFrame, now: UInt64) {
    switch frame.kind {
    case .result where frame.header.status == .ok: isSubscribed = true
    case .event:
      received += 1
      if frame.header.id != received || frame.header.aux != 0
        || frame.payload.first != UInt8(truncatingIfNeeded: received)
      {
        violated("event \(frame.header.id) with \(frame.header.aux) dropped, where \(received) was next")
      }
    default: super.take(frame, now: now)
    }
  }
}
