import HostcallBridge
import HostcallLoop

/// What the server tells its operator.
extension ServerCore {
  func report(_ level: ServerEvent.Level, _ message: String, _ fields: [(key: String, value: String)] = []) {
    configuration.onEvent(ServerEvent(level, message, fields))
  }

  /// The same for what a user can cause as often as it likes: only once in a while for each user and `what`.
  ///
  /// - Parameters:
  ///   - userID, processID: who has caused it; nil where that is not known.
  ///   - what: what is the same about such lines, such as the name of a limit; nil for the message.
  func reportSeldom(
    _ level: ServerEvent.Level, _ message: String, userID: UInt32? = nil, processID: Int32? = nil,
    about what: String? = nil, _ fields: [(key: String, value: String)] = []
  ) {
    let key = LogLimiter.Key(userID: userID, what: what ?? message)
    guard let suppressed = logLimiter.admit(key, nowMilliseconds: loop.nowNanoseconds() / 1_000_000) else {
      return armLogTimer()
    }
    var fields = fields
    if let processID { fields.insert(("pid", "\(processID)"), at: 0) }
    if let userID { fields.insert(("uid", "\(userID)"), at: 0) }
    if suppressed > 0 { fields.append(("suppressed", "\(suppressed)")) }
    report(level, message, fields)
  }

  /// Somebody has met a limit.
  func report(_ notice: LimitNotice) {
    reportSeldom(
      .warning, "limit met", userID: notice.identity.userID, processID: notice.identity.processID, about: notice.limit,
      [("limit", notice.limit), ("value", "\(notice.value)")])
  }

  /// A step of a call, see ``HostcallServer/Configuration/tracesCalls``.
  func report(_ notice: CallNotice) {
    var fields = [("call", "\(notice.correlationID)"), ("function", notice.function)]
    switch notice.step {
    case .accepted: report(.debug, "call accepted", fields + describe(notice.caller))
    case .dispatched:
      fields += describe(notice.caller)
      fields += describe(notice.worker).map { ("worker-\($0.key)", $0.value) }
      report(.debug, "call dispatched", fields)
    case .ended(let status): report(.debug, "call ended", fields + [("status", "\(status)")] + describe(notice.caller))
    }
  }

  /// Who a peer is; nothing where it has gone or is this process.
  private func describe(_ peer: PeerID) -> [(key: String, value: String)] {
    connections.find(peer).map { connection in
      describe(connection.credentials) + (connection.unit.map { [("unit", $0)] } ?? [])
    } ?? []
  }

  func describe(_ credentials: PeerCredentials) -> [(key: String, value: String)] {
    [("uid", "\(credentials.userID)"), ("pid", "\(credentials.processID)")]
  }

  /// Sees to it that what was held back is told of when its time is over.
  private func armLogTimer() {
    guard !logTimerIsArmed, let next = logLimiter.nextMilliseconds else { return }
    let timer = logTimer ?? LoopTimer(loop) { [unowned self] in assumeIsolated { $0.tellSuppressed() } }
    logTimer = timer
    logTimerIsArmed = true
    let now = loop.nowNanoseconds() / 1_000_000
    timer.schedule(afterMilliseconds: next > now ? next - now : 0)
  }

  private func tellSuppressed() {
    logTimerIsArmed = false
    tell(logLimiter.takeSuppressed(nowMilliseconds: loop.nowNanoseconds() / 1_000_000))
    armLogTimer()
  }

  func tell(_ suppressed: [LogLimiter.Suppressed]) {
    for suppressed in suppressed {
      let key = suppressed.key
      report(
        .warning, "log lines suppressed",
        [
          ("uid", Self.userText(of: key)), ("about", key?.what ?? "several"),
          ("suppressed", "\(suppressed.lines)"),
        ])
    }
  }

  private static func userText(of key: LogLimiter.Key?) -> String {
    guard let key else { return "several" }
    return key.userID.map { "\($0)" } ?? "unknown"
  }
}
