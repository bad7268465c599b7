import HostcallFunctions
import HostcallLoop
import HostcallWire

/// One connection to the daemon, from connecting to its end, with everything that ends with it.
///
/// Thread: the loop thread; it belongs to the actor `ClientConnection`, which makes a new one for each connection.
final class ClientLink {
  /// What an INVOKE has become.
  ///
  /// It leaves when its COMPLETE is written.
  struct Running {
    let invocation: HostcallInvocation
    let record: RegistrationRecord
    let streams: ServedStreams
    /// The handler's task, nil for those that complete by themselves.
    var task: Task<Void, Never>?
    /// Whether CANCEL came: the call has ended, and an outcome reaches nobody.
    var wasCancelled = false
  }

  /// What a PING was sent for.
  enum Ping {
    /// The user wants to know how long it takes.
    case user(sent: ContinuousClock.Instant, Answer<Result<Duration, HostcallError>>)
    /// To know that the daemon has seen our GOAWAY.
    case goawayWasSeen
    /// To know that the daemon lives.
    case liveness
  }

  /// The bit that every request id of a client has and no correlation id has: it tells whose call an ITEM belongs to.
  static let requestMark: UInt64 = 1 << 63

  /// Grows from one connection of the client to the next.
  let number: UInt64
  let stream: SocketStream
  var decoder: FrameDecoder
  var incomingDescriptors = IncomingDescriptors()
  /// What the daemon said; nil until it did.
  var welcome: Welcome?
  /// When it did.
  var readySince: ContinuousClock.Instant?

  /// Requests without a RESULT, by request id.
  var requests: [UInt64: ClientRequest] = [:]
  var pings: [UInt64: Ping] = [:]
  /// INVOKEs without a COMPLETE, by correlation id.
  var running: [UInt64: Running] = [:]
  /// Registrations by the handle that the daemon gave them on this connection.
  var functions: [UInt32: RegistrationRecord] = [:]

  /// Streams whose next items wait until the daemon has read more.
  var heldSenders: [ItemSender] = []

  /// Whether SUBSCRIBE was ever written, so that events may come.
  var hasSubscribed = false

  /// Whether something was written since the last flush.
  var needsFlush = false
  /// Whether anything came since the liveness timer last fired.
  var wasHeard = true
  /// Whether the daemon has seen our GOAWAY, so that no INVOKE can be on its way.
  var goawayWasSeen = false

  init(number: UInt64, stream: SocketStream, largestBodyBytes: UInt32) {
    self.number = number
    self.stream = stream
    decoder = FrameDecoder(direction: .toPeer, largestBodyBytes: largestBodyBytes)
  }

  /// Whether nothing waits for anything on this connection.
  var isIdle: Bool { requests.isEmpty && running.isEmpty }

  /// Writes one frame into the output; it leaves with the next flush.
  func append(
    _ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: ArraySlice<UInt8> = [],
    descriptors: HostcallDescriptors = .none
  ) {
    var header = header
    var encodedMetadata: [UInt8] = []
    if !metadata.isEmpty { metadata.encode(into: &encodedMetadata) }
    let nameBytes = name.utf8.count
    header.nameBytes = UInt16(nameBytes)
    header.metadataBytes = UInt16(encodedMetadata.count)
    header.bodyBytes = UInt32(nameBytes + encodedMetadata.count + payload.count)
    func fill(_ frame: UnsafeMutableRawBufferPointer) {
      guard let start = frame.baseAddress else { return }
      header.store(to: start)
      var position = FrameHeader.byteCount
      func put(_ bytes: some Collection<UInt8>, count: Int) {
        guard count > 0 else { return }
        UnsafeMutableRawBufferPointer(rebasing: frame[position..<(position + count)]).copyBytes(from: bytes)
        position += count
      }
      put(name.utf8, count: nameBytes)
      put(encodedMetadata, count: encodedMetadata.count)
      put(payload, count: payload.count)
    }
    if let passed = descriptors.passed {
      stream.appendFrame(byteCount: header.frameBytes, descriptors: passed, fill)
    } else {
      stream.output.appendFrame(byteCount: header.frameBytes, fill)
    }
    needsFlush = true
  }

  /// Bytes of the largest body that may be sent.
  var largestOutgoingBytes: Int { Int(welcome?.largestBodyBytes ?? 0) }
}

/// A request that is answered by RESULT.
enum ClientRequest {
  case call(OutgoingCall)
  case register(RegistrationRecord)
  case unregister(RegistrationRecord, handle: UInt32, Answer<HostcallError?>?)
  case subscribe(SubscriptionRecord)
  case unsubscribe(String)
  case publish(OutgoingPublication)

  /// The call, where it is one.
  var call: OutgoingCall? {
    if case .call(let call) = self { call } else { nil }
  }

  /// Whether a handler asked for it, so that it goes out while the client finishes what runs.
  var isInsideHandler: Bool {
    switch self {
    case .call(let call): call.parameters.isInsideHandler
    case .publish(let publication): publication.parameters.isInsideHandler
    case .register, .unregister, .subscribe, .unsubscribe: false
    }
  }

  /// Tells whoever waits that it came to nothing.
  func fail(_ error: HostcallError) {
    switch self {
    case .call(let call):
      if case .ended = call.state { return }
      call.fail(error)
    case .register(let record):
      record.isRegistering = false
      record.answer(error.about(record.name))
    // What is gone with the connection need not be unregistered any more.
    case .unregister(_, _, let answer): answer?(nil)
    case .subscribe(let record):
      record.isSubscribing = false
      record.answer(error.about(record.pattern))
    case .unsubscribe: break
    case .publish(let publication): publication.fail(error)
    }
  }
}
