import Glibc
import HostcallFunctions
import HostcallLoop
import HostcallWire

// Making a connection, and what happens when there is none any more.
extension ClientConnection {
  /// The first connection; its failure is the end of the client.
  func connectFirst(_ answer: @escaping Answer<HostcallError?>) {
    connectWaiters.append(answer)
    beginConnecting()
  }

  /// Goes from `idle` or `backingOff` to `connecting`.
  func beginConnecting() {
    phase = .connecting
    connectDeadline = .now + configuration.connectTimeout
    attempt()
  }

  /// The timer of attempts, waits between them, and WELCOME.
  func connectTimerFired() {
    switch phase {
    case .backingOff:
      lastDelayMilliseconds = backoff.nextDelayMilliseconds()
      beginConnecting()
    case .connecting where link == nil && .now < connectDeadline: attempt()
    case .connecting:
      lose(cannotConnect("it has not answered within \(configuration.connectTimeout)", advice: "is it overloaded?"))
    default: break
    }
  }

  private func attempt() {
    do throws(LoopError) {
      let descriptor = try dial().get()
      do throws(LoopError) {
        open(try SocketStream(loop, descriptor: descriptor))
      } catch {
        close(descriptor)
        throw error
      }
    } catch {
      // The daemon is there and others are before us: soon it will have taken them.
      if error.code == EAGAIN, .now < connectDeadline {
        madeHandles().connectTimer.schedule(afterMilliseconds: 5)
      } else {
        lose(cannotConnect(error))
      }
    }
  }

  private func open(_ stream: SocketStream) {
    lastLinkNumber += 1
    let link = ClientLink(
      number: lastLinkNumber, stream: stream, largestBodyBytes: configuration.largestFrameBytes)
    self.link = link
    let number = link.number
    stream.onReadable = { self.assumeIsolated { $0.readable(linkNumber: number) } }
    stream.onWritable = { self.assumeIsolated { $0.writable(linkNumber: number) } }
    stream.acceptsDescriptors = true
    stream.startReading()
    var metadata = Metadata()
    try? metadata.set("client", to: configuration.clientName)
    metadata["features"] = DaemonFeature.descriptors.rawValue
    link.append(
      FrameHeader(
        kind: .hello, id: FrameHeader.helloID, function: ProtocolConstants.version, aux: ProtocolConstants.version),
      metadata: metadata)
    // At once: after a long turn of the loop the timer below would fire before the turn's flush.
    _ = stream.flush()
    let left = connectDeadline - .now
    madeHandles().connectTimer.schedule(afterMilliseconds: UInt64(TimeoutRules.wireMilliseconds(left)))
  }

  /// WELCOME has come.
  func receiveWelcome(_ frame: DecodedFrame, _ link: ClientLink) throws(ProtocolViolation) {
    guard link.welcome == nil else { throw ProtocolViolation("a second WELCOME") }
    guard frame.header.status == .ok else {
      let text = PayloadText.text(ArraySlice(frame.payload), encoding: .raw)
      lose(
        cannotConnect(
          frame.header.status == .version
            ? "it speaks the protocol versions \(text), and this client \(ProtocolConstants.version)"
            : "\(frame.header.status): \(text)", status: frame.header.status, origin: .daemon))
      return
    }
    guard frame.header.function == ProtocolConstants.version else {
      throw ProtocolViolation("WELCOME chooses version \(frame.header.function), which was not offered")
    }
    guard let welcome = Welcome(frame) else { throw ProtocolViolation("WELCOME without a max-frame") }
    link.welcome = welcome
    link.readySince = .now
    phase = .ready
    hasConnected = true
    let handles = madeHandles()
    handles.connectTimer.cancel()
    scheduleLivenessCheck()
    registrationBackoff.reset()
    eventsContinuation.yield(.connected(HostcallServerInformation(welcome)))
    for record in records where record.state == .established { transmitRegistration(record, link) }
    subscribeAnew(link)
    let waiting = waiting
    self.waiting = []
    waitingBytes = 0
    for request in waiting { transmit(request, link) }
    let waiters = connectWaiters
    connectWaiters = []
    for answer in waiters { answer(nil) }
  }

  /// The connection has ended, or could not be made: everything that depended on it ends with this error.
  func lose(_ error: HostcallError) {
    if case .closed = phase { return }
    let wasConnecting = if case .connecting = phase { true } else { false }
    let wasShuttingDown = if case .shuttingDown = phase { true } else { false }
    if let since = link?.readySince, since.duration(to: .now) > configuration.reconnect.maximumDelay { backoff.reset() }
    dropLink(error)
    if wasShuttingDown { return finishClosing(nil) }
    guard hasConnected, configuration.reconnect.isEnabled else { return finishClosing(error) }
    guard !records.isEmpty || !subscriptions.isEmpty else {
      phase = .idle
      eventsContinuation.yield(.disconnected(error))
      closeIfAbandoned()
      return
    }
    phase = .backingOff
    if !wasConnecting { lastDelayMilliseconds = backoff.nextDelayMilliseconds() }
    madeHandles().connectTimer.schedule(afterMilliseconds: lastDelayMilliseconds)
    eventsContinuation.yield(
      wasConnecting
        ? .reconnectFailed(error, nextAttemptAfter: .milliseconds(lastDelayMilliseconds)) : .disconnected(error))
  }

  /// Closes the socket and ends what depended on it.
  func dropLink(_ error: HostcallError) {
    let requests = waiting
    waiting = []
    waitingBytes = 0
    handles?.connectTimer.cancel()
    handles?.livenessTimer.cancel()
    handles?.registrationTimer.cancel()
    let link = link
    self.link = nil
    for record in records { record.handle = nil }
    if let link {
      link.stream.close()
      for running in link.running.values {
        running.streams.end(error) { running.task?.cancel() }
        if case .manual(_, let onCancel) = running.record.handler, !running.wasCancelled {
          onCancel(running.invocation, .workerLost)
        }
      }
      for request in link.requests.values { request.fail(error) }
      for case .user(_, let answer) in link.pings.values { answer(.failure(error)) }
    }
    for request in requests { request.fail(error) }
    // Those that the daemon never took are over: whoever asked for them has just heard so.
    records.removeAll { $0.state != .established }
    dropSubscriptions(error)
  }
}
