public import HostcallWire

/// A call as its handler gets it.
public struct HostcallRequest: Sendable {
  /// The name that was called. Where a pattern was registered it is the full name, not the pattern.
  public let function: String
  /// The argument.
  public let payload: [UInt8]
  /// What the payload's bytes are.
  public let encoding: PayloadEncoding
  /// What the caller sent beside the argument, and what the daemon added.
  public let metadata: Metadata
  /// The number by which caller, logs and tools know the call.
  public let correlationID: UInt64
  /// When the call ends by itself; from then on a result reaches nobody.
  public let deadline: ContinuousClock.Instant
  /// Whether the call may have been sent to a worker before, and may be again.
  public let isIdempotent: Bool
  /// Open files that came with the call; closed with the last copy of the request, unless they are taken.
  public let descriptors: HostcallDescriptors
  /// The argument items that the caller sends behind the payload; none of most calls.
  public let arguments: HostcallArguments
  /// Where result items go, if the caller takes any.
  public let results: HostcallResults

  /// A request as it would come; for tests of handlers. Its caller takes no items.
  public init(
    function: String, payload: [UInt8] = [], encoding: PayloadEncoding = .raw, metadata: Metadata = [:],
    correlationID: UInt64 = 1, deadline: ContinuousClock.Instant = .now + .seconds(30), isIdempotent: Bool = false,
    descriptors: HostcallDescriptors = .none, arguments: [HostcallItem] = []
  ) {
    self.function = function
    self.payload = payload
    self.encoding = encoding
    self.metadata = metadata
    self.correlationID = correlationID
    self.deadline = deadline
    self.isIdempotent = isIdempotent
    self.descriptors = descriptors
    self.arguments = HostcallArguments(items: ItemReceiver(arguments), port: nil)
    results = HostcallResults(
      function: function, correlationID: correlationID, largestItemBytes: 0, items: nil, port: nil)
  }

  /// A call as INVOKE brings it.
  ///
  /// - Parameters:
  ///   - registeredName: what the worker has registered.
  ///   - descriptors: what has come with it.
  ///   - streams: what `port` sends and receives for it.
  ///   - largestItemBytes: of a result item.
  package init(
    _ invoke: DecodedFrame, registeredName: String, descriptors: HostcallDescriptors, streams: ServedStreams,
    port: any CallPort, largestItemBytes: Int
  ) {
    let header = invoke.header
    function = header.nameBytes > 0 ? String(decoding: invoke.name, as: UTF8.self) : registeredName
    payload = Array(invoke.payload)
    encoding = header.encoding
    metadata = Metadata(of: invoke)
    correlationID = header.id
    deadline = .now + .milliseconds(Int64(header.timeoutMilliseconds))
    isIdempotent = header.flags.has(.idempotent)
    self.descriptors = descriptors
    arguments = HostcallArguments(items: streams.arguments ?? .none, port: port)
    results = HostcallResults(
      function: function, correlationID: correlationID, largestItemBytes: largestItemBytes, items: streams.results,
      port: port)
  }

  /// The payload as text; bytes that are not UTF-8 become U+FFFD.
  public var text: String { String(decoding: payload, as: UTF8.self) }

  /// What is left until the deadline; zero once it has passed.
  public var timeLeft: Duration { max(.zero, deadline - .now) }

  /// Who called, if the function was registered with `callerIdentity`; the daemon vouches for it.
  public var caller: HostcallCaller? { HostcallCaller(metadata) }

  /// What calls made on behalf of this one inherit. Handlers have it already, by ``HostcallContext/current``.
  public var context: HostcallContext {
    HostcallContext(
      correlationID: correlationID, deadline: deadline, traceParent: metadata["traceparent"],
      traceState: metadata["tracestate"])
  }
}

/// The process at the other end of a call (protocol section 4, *Registering*, `caller`).
public struct HostcallCaller: Sendable, Hashable {
  /// Its effective user when it connected.
  public let userID: UInt32
  /// Its effective group when it connected.
  public let groupID: UInt32
  /// The process that connected. The number may since have been given to another process.
  public let processID: Int32
  /// The number of its connection in this run of the daemon.
  public let session: UInt64

  init?(_ metadata: Metadata) {
    guard !metadata.isEmpty, let userID = metadata["hostcall-caller-uid"].flatMap(UInt32.init),
      let groupID = metadata["hostcall-caller-gid"].flatMap(UInt32.init),
      let processID = metadata["hostcall-caller-pid"].flatMap(Int32.init),
      let session = metadata["hostcall-caller-session"].flatMap(UInt64.init)
    else { return nil }
    self.userID = userID
    self.groupID = groupID
    self.processID = processID
    self.session = session
  }
}
