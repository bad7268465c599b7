import HostcallFunctions
package import HostcallLoop
import HostcallWire

/// Whom to tell what somebody has asked for, once, on the loop thread.
package typealias Answer<Value> = @Sendable (Value) -> Void

/// Gives a connected socket, or says why there is none. Thread: the loop's.
package typealias Dial = @Sendable () -> Result<Int32, LoopError>

/// What a client is to its daemon, across all the connections that follow each other: the calls that wait, the
/// registrations that come back, and the phase it is in.
///
/// Its executor is the process's client loop, so libuv's callbacks are inside the actor, and other threads come in by
/// ``enter(_:)``, in order and without a task. Nothing in here ever suspends, and no code of a user runs in here but
/// the handlers of manual registrations.
actor ClientConnection {
  /// Where the client stands with its daemon.
  enum Phase {
    /// There is no connection and nobody wants one. To `connecting` with the next request; to `closed`.
    case idle
    /// A connection is being made, or HELLO has gone and WELCOME has not come. To `ready`; when that fails to `idle`,
    /// `backingOff` or `closed`.
    case connecting
    /// WELCOME has come. To `leaving`, `shuttingDown`; when the connection is lost to `idle`, `backingOff`, `closed`.
    case ready
    /// The daemon said GOAWAY: what runs goes on, new requests fail. To `shuttingDown`; when the connection ends to
    /// `idle`, `backingOff` or `closed`.
    case leaving
    /// This client said GOAWAY: what runs goes on, calls of handlers too. To `closed`.
    case shuttingDown
    /// The connection was lost, and a timer runs until the next attempt. To `connecting`, `closed`.
    case backingOff
    /// The end; the error says why, if nobody asked for it.
    case closed(HostcallError?)
  }

  nonisolated let loop: EventLoop
  nonisolated let configuration: HostcallClient.Configuration
  nonisolated let path: String
  /// Connects to the path; another way leads to a server in the same process.
  nonisolated let dial: Dial
  nonisolated let rejections: AsyncStream<HostcallRejection>
  nonisolated let events: AsyncStream<HostcallConnectionEvent>
  let rejectionsContinuation: AsyncStream<HostcallRejection>.Continuation
  let eventsContinuation: AsyncStream<HostcallConnectionEvent>.Continuation

  var phase = Phase.idle
  /// The present connection, in `connecting` (but for the time before another attempt), `ready`, `leaving` and
  /// `shuttingDown`.
  var link: ClientLink?
  /// Whether WELCOME ever came.
  ///
  /// The first attempt's failure is the end.
  var hasConnected = false
  var lastRequestID: UInt64 = 0
  var lastLinkNumber: UInt64 = 0

  /// Requests that wait for WELCOME, in order.
  var waiting: [ClientRequest] = []
  /// Bytes of the payloads of calls among them.
  var waitingBytes = 0
  /// Registrations in the order in which they were made, those under way included.
  var records: [RegistrationRecord] = []
  /// Subscriptions by name or pattern, those under way included; each has at least one consumer.
  var subscriptions: [String: SubscriptionRecord] = [:]
  var consumers = EventConsumers()
  var connectWaiters: [Answer<HostcallError?>] = []
  var closeWaiters: [Answer<HostcallError?>] = []

  /// Whether nobody can ask for anything any more: the client was released.
  var isAbandoned = false
  var connectDeadline = ContinuousClock.now
  /// When calls are next looked through for those that are overdue; nil where none has a deadline.
  var nextDeadlineCheck: ContinuousClock.Instant?
  var backoff: ReconnectBackoff
  var registrationBackoff: ReconnectBackoff
  var lastDelayMilliseconds: UInt64 = 1
  var handles: Handles?

  /// The libuv handles that live as long as the client does.
  struct Handles {
    /// Fires for the next attempt to connect, and when WELCOME does not come.
    let connectTimer: LoopTimer
    /// Fires for the next attempt to register what the daemon did not take back.
    let registrationTimer: LoopTimer
    let livenessTimer: LoopTimer
    /// Fires when a call may be overdue.
    let deadlineTimer: LoopTimer
    let flushHook: LoopTurnHook
  }

  /// The client loop.
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  init(
    loop: EventLoop, configuration: HostcallClient.Configuration, path: String,
    dial: Dial? = nil
  ) {
    self.loop = loop
    self.configuration = configuration
    self.path = path
    self.dial = dial ?? { Result { () throws(LoopError) in try UnixSocket.connect(path: path) } }
    (rejections, rejectionsContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
    (events, eventsContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
    backoff = ReconnectBackoff(configuration.reconnect)
    registrationBackoff = ReconnectBackoff(configuration.reconnect)
  }

  /// Runs `body` inside, after everything that was handed in before.
  ///
  /// Any thread.
  nonisolated func enter(_ body: @escaping @Sendable (isolated ClientConnection) -> Void) {
    loop.execute { self.assumeIsolated(body) }
  }

  /// The handles, made at the first use, which is on the loop thread.
  func madeHandles() -> Handles {
    if let handles { return handles }
    let made = Handles(
      connectTimer: LoopTimer(loop) { self.assumeIsolated { $0.connectTimerFired() } },
      registrationTimer: LoopTimer(loop) { self.assumeIsolated { $0.registerAgain() } },
      livenessTimer: LoopTimer(loop) { self.assumeIsolated { $0.checkLiveness() } },
      deadlineTimer: LoopTimer(loop) { self.assumeIsolated { $0.checkDeadlines() } },
      flushHook: LoopTurnHook(loop) { self.assumeIsolated { $0.flushIfNeeded() } })
    handles = made
    return made
  }

  /// Closes the handles, which refer to this actor.
  func closeHandles() {
    guard let handles else { return }
    handles.connectTimer.close()
    handles.registrationTimer.close()
    handles.livenessTimer.close()
    handles.deadlineTimer.close()
    handles.flushHook.close()
    self.handles = nil
  }

  /// A request id that was never used.
  func nextRequestID() -> UInt64 {
    lastRequestID += 1
    return ClientLink.requestMark | lastRequestID
  }

  /// What a request gets in a phase that takes none.
  var closedError: HostcallError {
    if case .closed(let reason?) = phase { return reason }
    return HostcallError(.closed, message: "this client is closed")
  }
}
