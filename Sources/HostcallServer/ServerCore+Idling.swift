import HostcallLoop

/// Leaving while nobody is there, for a service manager that starts the daemon again with the next connection.
extension ServerCore {
  /// A turn is over: the clock runs while nobody is connected and nothing is in flight.
  func noteIdling() {
    guard let milliseconds = configuration.idleMilliseconds, phase == .serving else { return }
    let isIdle = bridge.connections == 0 && bridge.callsInFlight == 0
    if isIdle == idleTimerIsArmed { return }
    idleTimerIsArmed = isIdle
    let timer = idleTimer ?? LoopTimer(loop) { [unowned self] in assumeIsolated { $0.hasIdled() } }
    idleTimer = timer
    if isIdle { timer.schedule(afterMilliseconds: milliseconds) } else { timer.cancel() }
  }

  private func hasIdled() {
    guard phase == .serving, idleTimerIsArmed else { return }
    if listeners.contains(where: { $0.hasWaiting }) {
      // Somebody has connected and was not accepted yet.
      idleTimerIsArmed = false
      return
    }
    report(
      .info, "nobody was connected for the idle time", [("idle-milliseconds", "\(configuration.idleMilliseconds ?? 0)")]
    )
    leave(grace: .zero)
  }
}
