import Glibc
import HostcallFunctions
import HostcallLoop

/// The end, in good order.
extension ServerCore {
  /// Stops listening and begins to wait for the calls that run.
  func leave(grace: Duration) {
    guard phase == .idle || phase == .serving else { return }
    phase = .leaving
    for listener in listeners { listener.close() }
    listeners = []
    let milliseconds = UInt32(clamping: TimeoutRules.milliseconds(grace))
    report(.info, "shutting down", [("grace-ms", "\(milliseconds)")])
    tell(.leaving(withinMilliseconds: UInt64(milliseconds) + UInt64(configuration.limits.lingerMilliseconds)))
    bridge.stop(graceMilliseconds: milliseconds, now: loop.nowNanoseconds(), into: &actions)
    settle()
  }

  /// Waits for nothing any more.
  func leaveNow() {
    leave(grace: .zero)
    bridge.endGrace(now: loop.nowNanoseconds(), into: &actions)
    settle()
  }

  func linger() {
    phase = .lingering
    endCommands(signal: SIGTERM)
    let timer = LoopTimer(loop) { [unowned self] in assumeIsolated { $0.end() } }
    timer.schedule(afterMilliseconds: UInt64(configuration.limits.lingerMilliseconds))
    lingerTimer = timer
  }

  func end() {
    guard phase == .lingering else { return }
    endCommands(signal: SIGKILL)
    forgetWishes()
    for connection in connections.all {
      connection.reason = "the daemon stopped"
      lose(connection)
    }
    settle()
    hostEnds()
    place?.removeSocket()
    place = nil
    phase = .ended
    tell(logLimiter.takeAllSuppressed())
    report(.info, "stopped")
    for waiter in endWaiters { waiter.resume() }
    endWaiters = []
  }

  /// Returns when the server has ended.
  func waitUntilEnded() async {
    guard phase != .ended else { return }
    await withCheckedContinuation { endWaiters.append($0) }
  }
}
