import HostcallBridge
import HostcallLoop
import HostcallWire

/// All open connections by the place of their peer, with what every frame that goes to one needs at hand: to look for it in
/// an object, references would be counted twice for each frame. Belongs to the loop thread.
///
/// Unsafe pointers' rule: there is room for `capacity` entries at `entries`, and the first `count` are there. `output` of an
/// entry is the queue of its connection's stream, and is there for as long as the connection is held.
struct ConnectionTable: ~Copyable {
  private struct Entry {
    var connection: Connection?
    var generation: UInt32 = 0
    /// How many frames were appended since the last flush.
    var framesToFlush = 0
    var output: UnsafeMutablePointer<OutputQueue>?
  }

  /// What became of a frame that was to be appended.
  enum Outcome {
    case appended
    /// It is the first since the last flush.
    case appendedFirst
    /// So many wait for a flush that the peer should begin with them.
    case appendedMany
    /// It is not like most, and has to be put together by its connection.
    case notPlain
    /// No connection is the peer's.
    case nobody
  }

  /// How many frames leave together while more are taken out of one read. A receiver that is woken only when all of them
  /// have been taken leaves its processor idle meanwhile; one that is woken for few costs more than the time it saves.
  private static let manyFrames = 128

  private var entries: UnsafeMutablePointer<Entry>
  private var capacity = 16
  private var count = 0

  init() {
    entries = .allocate(capacity: capacity)
  }

  deinit {
    entries.deinitialize(count: count)
    entries.deallocate()
  }

  /// The connection of a peer, nil where it has none any more.
  func find(_ peer: PeerID) -> Connection? {
    entry(of: peer)?.pointee.connection
  }

  /// All of them.
  var all: [Connection] { UnsafeBufferPointer(start: entries, count: count).compactMap(\.connection) }

  mutating func insert(_ connection: Connection) {
    let place = Int(connection.peer.slot)
    while count <= place {
      if count == capacity { grow() }
      (entries + count).initialize(to: Entry())
      count += 1
    }
    entries[place] = Entry(
      connection: connection, generation: connection.peer.generation, output: connection.stream.outputQueue)
  }

  mutating func remove(_ peer: PeerID) {
    entry(of: peer)?.pointee = Entry()
  }

  /// Gives places back that a burst of connections has left at the end.
  mutating func shrink() {
    while count > 0, entries[count - 1].connection == nil {
      count -= 1
      (entries + count).deinitialize(count: 1)
    }
  }

  /// Appends a frame that is nothing but a header and a part of `incoming`, the body that was handed in, as most are.
  @inline(__always)
  mutating func append(_ frame: UnsafePointer<OutgoingFrame>, incoming: UnsafeRawBufferPointer) -> Outcome {
    guard let entry = entry(of: frame.pointee.peer), let output = entry.pointee.output else { return .nobody }
    guard frame.pointee.isPlain, frame.pointee.sourceBytes < Connection.fewestLargeBytes else { return .notPlain }
    let start = Int(frame.pointee.sourceStart)
    let byteCount = Int(frame.pointee.sourceBytes)
    precondition(start &+ byteCount <= incoming.count, "a frame has more of a body than there is")
    output.pointee.appendFrame(byteCount: FrameHeader.byteCount &+ byteCount) { room in
      let position = room.baseAddress.unsafelyUnwrapped
      frame.pointee.header.store(to: position)
      if byteCount > 0, let bytes = incoming.baseAddress {
        (position + FrameHeader.byteCount).copyMemory(from: bytes + start, byteCount: byteCount)
      }
    }
    entry.pointee.framesToFlush &+= 1
    if entry.pointee.framesToFlush == 1 { return .appendedFirst }
    return entry.pointee.framesToFlush < Self.manyFrames ? .appended : .appendedMany
  }

  /// Notes that a frame was appended to a connection; whether it is the first since the last flush.
  mutating func markDirty(_ peer: PeerID) -> Bool {
    guard let entry = entry(of: peer) else { return false }
    entry.pointee.framesToFlush &+= 1
    return entry.pointee.framesToFlush == 1
  }

  /// Notes that a connection is being flushed.
  mutating func markClean(_ peer: PeerID) {
    entry(of: peer)?.pointee.framesToFlush = 0
  }

  @inline(__always)
  private func entry(of peer: PeerID) -> UnsafeMutablePointer<Entry>? {
    guard Int(peer.slot) < count else { return nil }
    let entry = entries + Int(peer.slot)
    return entry.pointee.generation == peer.generation ? entry : nil
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
    larger.moveInitialize(from: entries, count: count)
    entries.deallocate()
    entries = larger
    capacity *= 2
  }
}
