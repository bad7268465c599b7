import HostcallBridge
import HostcallLoop
import HostcallWire

/// What another process needs to go on with a connection, beside its socket and what the bridge knows of its peer.
struct ConnectionState {
  var peer = PeerID.nobody
  /// The largest body that the peer was told it may send, in bytes.
  var largestBodyBytes: UInt32 = 0
  var isBacklogged = false
  var isPaused = false
  /// Of a frame whose end has not come.
  var unfinished: (bytes: [UInt8], bytesToSkip: UInt64) = ([], 0)
  var begunDescriptors: ChargedDescriptors?
  var output = OutputQueue.Rest()

  mutating func code(_ coder: inout StateCoder) throws(StateError) {
    var (slot, generation) = (peer.slot, peer.generation)
    try coder.code(&slot)
    try coder.code(&generation)
    peer = PeerID(slot: slot, generation: generation)
    try coder.code(&largestBodyBytes)
    try coder.code(&isBacklogged)
    try coder.code(&isPaused)
    try coder.code(&unfinished.bytes)
    try coder.code(&unfinished.bytesToSkip)
    try Self.code(&begunDescriptors, &coder)
    try coder.code(&output.start)
    try coder.code(&output.sentBytes)
    try coder.code(&output.bytes)
    var entries = output.descriptors.map { ($0.start, $0.end, Optional(ChargedDescriptors($0.descriptors))) }
    try coder.code(&entries, of: (0, 0, nil)) { (coder, entry) throws(StateError) in
      try coder.code(&entry.0)
      try coder.code(&entry.1)
      try Self.code(&entry.2, &coder)
    }
    guard coder.isReading else { return }
    output.descriptors = entries.compactMap { entry in entry.2?.passed.map { (entry.0, entry.1, $0) } }
  }

  private static func code(_ descriptors: inout ChargedDescriptors?, _ coder: inout StateCoder) throws(StateError) {
    var any: (any FrameDescriptors)? = descriptors
    try coder.code(&any)
    descriptors = any as? ChargedDescriptors
  }
}

extension Connection {
  /// Writes what another process needs.
  func write(_ coder: inout StateCoder) throws(StateError) {
    var state = ConnectionState()
    state.peer = peer
    state.largestBodyBytes = decoder.pointee.largestBodyBytes
    state.isBacklogged = isBacklogged
    state.isPaused = isPaused
    state.unfinished = decoder.pointee.unfinished
    state.begunDescriptors = begunDescriptors
    state.output = stream.output.rest
    try state.code(&coder)
  }

  /// Goes on with a connection of another process.
  convenience init(
    _ state: ConnectionState, stream: SocketStream, credentials: PeerCredentials, limits: Limits,
    segments: any SegmentSource
  ) throws(StateError) {
    self.init(
      peer: state.peer, stream: stream, credentials: credentials, limits: limits,
      largestBodyBytes: state.largestBodyBytes, segments: segments)
    do throws(ProtocolViolation) {
      try decoder.pointee.resume(state.unfinished)
    } catch {
      throw StateError(error.reason)
    }
    guard stream.output.resume(state.output) else { throw StateError("what waits to be sent does not fit together") }
    isBacklogged = state.isBacklogged
    isPaused = state.isPaused
    begunDescriptors = state.begunDescriptors
    keptBytes = decoder.pointee.keptBytes
    readsLarge = decoder.pointee.missingLargeBytes > 0
  }
}
