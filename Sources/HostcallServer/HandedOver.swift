import Glibc
import HostcallBridge
import HostcallLoop

/// What one process of the daemon leaves to the next: its state, its connections, and the socket on which it listened.
///
/// What another version has written, or what was damaged, is not read at all, see ``StateEnvelope``.
package struct HandedOver: Sendable {
  /// Grows with every change of what is written here; the bridge counts its own.
  static let version: UInt32 = 1
  static let envelope = StateEnvelope(of: "a state of hostcalld", version: (version, Bridge.stateVersion))

  /// What the bridge and then each connection has written.
  let state: [UInt8]
  /// Sockets of the connections, in the order of their state.
  let connections: [Int32]
  /// Descriptors that were under way.
  let passed: [PassedBatch]
  /// The socket that listens on a path, where the server had opened it itself.
  let listener: Listener?
  /// Nanoseconds of the monotonic clock at which nothing was read any more.
  let stoppedNanoseconds: UInt64

  struct Listener: Sendable {
    let path: String
    let descriptor: Int32
  }

  /// Descriptors that came with one frame.
  struct PassedBatch: Sendable {
    let descriptors: [Int32]
    /// How many there should be; where they are not there, they could not be passed on.
    let count: UInt32
  }

  init(
    state: [UInt8], connections: [Int32], passed: [PassedBatch], listener: Listener?, stoppedNanoseconds: UInt64
  ) {
    self.state = state
    self.connections = connections
    self.passed = passed
    self.listener = listener
    self.stoppedNanoseconds = stoppedNanoseconds
  }

  // MARK: As one descriptor

  /// Packs all of it; what it has stays open.
  func pack() throws(LoopError) -> Int32 {
    var coder = StateCoder()
    do throws(StateError) {
      var (path, hasListener, stopped, state) = (listener?.path ?? "", listener != nil, stoppedNanoseconds, state)
      var counts = [UInt64(connections.count)] + passed.map { UInt64($0.descriptors.count) << 32 | UInt64($0.count) }
      try coder.code(&hasListener)
      try coder.code(&path)
      try coder.code(&stopped)
      try coder.code(&counts, of: 0) { (coder, count) throws(StateError) in try coder.code(&count) }
      try coder.code(&state)
    } catch {
      preconditionFailure("writing a state fails: \(error)")
    }
    let descriptors = (listener.map { [$0.descriptor] } ?? []) + connections + passed.flatMap(\.descriptors)
    return try Parcel.pack(Self.envelope.sealed(coder.bytes), descriptors)
  }

  /// Takes what ``pack()`` gave, and closes it.
  ///
  /// Errors, for people: it was damaged, or another version has written it. Then everything in it is closed.
  package init(unpacking parcel: Int32) throws(ServerError) {
    let descriptors: [Int32]
    let bytes: [UInt8]
    do throws(LoopError) {
      (bytes, descriptors) = try Parcel.unpack(parcel)
    } catch {
      throw ServerError(error.description)
    }
    do throws(StateError) {
      try self.init(Self.envelope.opened(bytes), descriptors)
    } catch {
      for descriptor in descriptors { close(descriptor) }
      throw ServerError(error.description)
    }
  }

  private init(_ bytes: [UInt8], _ descriptors: [Int32]) throws(StateError) {
    var coder = StateCoder(reading: bytes, descriptors: [])
    var (hasListener, path, stopped, counts, state) = (false, "", UInt64(0), [UInt64](), [UInt8]())
    try coder.code(&hasListener)
    try coder.code(&path)
    try coder.code(&stopped)
    try coder.code(&counts, of: 0) { (coder, count) throws(StateError) in try coder.code(&count) }
    try coder.code(&state)
    guard coder.isAtEnd, let connectionCount = counts.first else { throw StateError("something is left over in it") }
    let batches = counts.dropFirst().map { (here: Int($0 >> 32), count: UInt32(truncatingIfNeeded: $0)) }
    let wanted = (hasListener ? 1 : 0) + Int(clamping: connectionCount) + batches.reduce(0) { $0 + $1.here }
    guard wanted == descriptors.count else {
      throw StateError("\(descriptors.count) descriptors came with it, where \(wanted) should")
    }
    var rest = descriptors[...]
    func take(_ count: Int) -> [Int32] {
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    listener = hasListener ? Listener(path: path, descriptor: take(1)[0]) : nil
    connections = take(Int(connectionCount))
    passed = batches.map { PassedBatch(descriptors: take($0.here), count: $0.count) }
    stoppedNanoseconds = stopped
    self.state = state
  }

  /// What reads the state. Once: descriptors that were under way belong to it from then on.
  func begin() -> StateCoder {
    StateCoder(reading: state, descriptors: passed.map { ChargedDescriptors(takingOver: $0) })
  }

  /// The one line that says why everything begins anew.
  package static func notTakenOver(_ reason: String) -> ServerEvent {
    ServerEvent(
      .warning, "the state of the last process was not taken over, its peers have to connect again",
      [("reason", reason)])
  }

  /// Closes everything that it has, but for what ``begin()`` has given an owner.
  func closeConnections() {
    for descriptor in connections { close(descriptor) }
    if let listener { close(listener.descriptor) }
  }
}
