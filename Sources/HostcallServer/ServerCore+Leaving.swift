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
    tell(
      .leaving(
        withinMilliseconds: UInt64(milliseconds) + UInt64(configuration.limits.lingerMilliseconds) + stopMilliseconds))
    bridge.stop(graceMilliseconds: milliseconds, now: loop.nowNanoseconds(), into: &actions)
    settle()
  }

  /// Waits for nothing any more.
  func leaveNow() {
    leave(grace: .zero)
    bridge.endGrace(now: loop.nowNanoseconds(), into: &actions)
    killCommands()
    settle()
  }

  func linger() {
    phase = .lingering
    endCommands()
    let timer = LoopTimer(loop) { [unowned self] in assumeIsolated { $0.lingerIsOver = true } }
    timer.schedule(afterMilliseconds: UInt64(configuration.limits.lingerMilliseconds))
    lingerTimer = timer
  }

  /// A turn is over: when peers have read what was sent to them, or were waited for long enough, and workers have ended,
  /// nothing is left to do.
  func endIfOver() {
    guard phase == .lingering, !hasCommands,
      lingerIsOver || !connections.all.contains(where: { $0.stream.output.queuedBytes > 0 })
    else { return }
    end()
  }

  private func end() {
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
