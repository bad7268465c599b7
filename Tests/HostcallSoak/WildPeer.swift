import HostcallTestSupport
import HostcallWire

/// A peer whose bytes are corrupted on their way, both ways, or that passes open files where none may be: it may be told
/// anything, and the daemon too.
///
/// Nothing is asked of it but that it harms nobody else. It keeps to names of its own.
final class WildPeer {
  private static let mostMilliseconds = 400

  private let world: SoakWorld
  private let path: String
  private let passesFiles: Bool
  private(set) var connection: SoakConnection?
  private var endsAt: UInt64 = 0
  private var nextRequest: UInt64 = 0

  init(_ world: SoakWorld, path: String, passesFiles: Bool = false) {
    self.world = world
    self.path = path
    self.passesFiles = passesFiles
  }

  func step() {
    guard let connection else { return world.isQuiet ? () : connect() }
    if endsAt <= world.now { return lose() }
    if connection.queuedBytes < 100_000 {
      for _ in 0..<world.random.below(4) { send(over: connection) }
    }
    if !connection.flush() { lose() }
  }

  func receive() {
    guard let connection else { return }
    do throws(ProtocolViolation) {
      if try !connection.receive({ frame, _ in answer(frame, over: connection) }) { lose() }
    } catch {
      lose()
    }
  }

  func lose() {
    connection?.close()
    connection = nil
  }

  private func connect() {
    guard let made = SoakConnection(path) else { return }
    world.ledger.counts.wildConnections += 1
    connection = made
    endsAt = world.now + UInt64(20 + world.random.below(Self.mostMilliseconds)) * 1_000_000
    let agrees = passesFiles && world.random.oneIn(2)
    made.send(Greeting.hello(client: "wild/1", features: agrees ? ["descriptors"] : []))
    for name in ["wild.a", "wild.b.*"] {
      nextRequest += 1
      made.send(FrameHeader(kind: .register, id: nextRequest), name: name)
    }
    nextRequest += 1
    made.send(FrameHeader(kind: .subscribe, id: nextRequest), name: "wild.*")
  }

  private func send(over connection: SoakConnection) {
    nextRequest += 1
    if passesFiles, world.random.oneIn(20) { sendFiles(over: connection) }
    let payload = world.random.bytes(world.random.below(60))
    switch world.random.below(6) {
    case 0:
      connection.send(FrameHeader(kind: .publish, id: nextRequest), name: "wild.event", payload: payload)
    case 1:
      connection.send(FrameHeader(kind: .complete, id: world.runningIDs.first?.key ?? nextRequest), payload: payload)
    case 2:
      connection.send(FrameHeader(kind: .cancel, id: world.random.next() >> 1 | 1))
    case 3:
      connection.send(
        FrameHeader(kind: .call, id: nextRequest, timeoutMilliseconds: 100, aux: 3), name: "wild.b.c", payload: payload)
    default:
      connection.send(
        FrameHeader(kind: .call, flags: .wait, id: nextRequest, timeoutMilliseconds: 100), name: "wild.a",
        payload: payload)
    }
  }

  /// Files with a frame that says something else, or nothing, of them; now and then it says what is so.
  private func sendFiles(over connection: SoakConnection) {
    let said = world.random.below(18)
    connection.send(
      FrameHeader(
        kind: .call, flags: world.random.oneIn(4) ? [] : [.descriptors, .wait], id: nextRequest,
        timeoutMilliseconds: 100),
      name: "wild.a", metadata: ["descriptors": "\(said)"],
      descriptors: SoakFile.open(0, count: world.random.oneIn(2) && said > 0 ? said : 1 + world.random.below(100)))
    nextRequest += 1
  }

  private func answer(_ frame: DecodedFrame, over connection: SoakConnection) {
    guard frame.kind == .invoke, frame.header.id != 0 else { return }
    connection.send(FrameHeader(kind: .complete, id: frame.header.id), payload: Array(frame.payload))
  }
}
