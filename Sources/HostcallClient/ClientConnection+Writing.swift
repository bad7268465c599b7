import HostcallFunctions
import HostcallLoop
import HostcallWire

// What goes to the daemon: written into the output as it arises, sent once a turn of the loop.
extension ClientConnection {
  /// Right before the loop blocks: sends what the turn has brought, in one go.
  func flushIfNeeded() {
    guard let link, link.needsFlush else { return }
    link.needsFlush = false
    flush(link)
  }

  /// What an earlier flush left has gone on.
  func writable(linkNumber: UInt64) {
    guard let link, link.number == linkNumber else { return }
    flush(link)
  }

  private func flush(_ link: ClientLink) {
    switch link.stream.flush() {
    case .drained:
      releaseHeldSenders(link)
      finishShutdownIfDone()
    case .waiting: releaseHeldSenders(link)
    case .failed(let code):
      // A daemon that closes says why first, and that is what should be told.
      readable(linkNumber: link.number)
      guard self.link === link else { return }
      lose(connectionEnded(LoopError.text(ofCode: code)))
    }
  }

  /// Sends PING and has the answer's delay.
  func ping(_ answer: @escaping Answer<Result<Duration, HostcallError>>) {
    guard let link, link.welcome != nil else {
      let message = "there is no connection to hostcalld at \(path)"
      let error = if case .closed = phase { closedError } else { HostcallError(.connectionLost, message: message) }
      return answer(.failure(error))
    }
    sendPing(.user(sent: .now, answer), link)
  }

  /// Sends PING.
  func sendPing(_ ping: ClientLink.Ping, _ link: ClientLink) {
    let id = nextRequestID()
    link.pings[id] = ping
    link.append(FrameHeader(kind: .ping, id: id))
  }

  /// Has the liveness timer fire after a third of the limit: one to see that it is silent, one to ask, one to give up.
  func scheduleLivenessCheck() {
    guard let limit = configuration.livenessLimit else { return }
    madeHandles().livenessTimer.schedule(afterMilliseconds: UInt64(TimeoutRules.wireMilliseconds(limit / 3)))
  }

  /// Pings a daemon that was silent while something depends on it, and gives up one that did not answer.
  func checkLiveness() {
    guard let link, link.welcome != nil, let limit = configuration.livenessLimit else { return }
    let awaitsAnswer = link.pings.values.contains { if case .liveness = $0 { true } else { false } }
    if !link.wasHeard, awaitsAnswer {
      return lose(connectionEnded("the daemon has answered nothing for \(limit)"))
    }
    let matters = !link.isIdle || !records.isEmpty || !subscriptions.isEmpty || !link.pings.isEmpty
    if !link.wasHeard, matters { sendPing(.liveness, link) }
    link.wasHeard = false
    scheduleLivenessCheck()
  }
}
