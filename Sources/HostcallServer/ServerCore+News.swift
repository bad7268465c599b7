import HostcallLoop

/// What the server tells a service manager, where one listens. Where nothing happens no clock runs but that of the pulse.
extension ServerCore {
  private static let millisecondsBetweenLoads: UInt64 = 1_000

  /// Begins the pulse, on the loop thread from now on.
  func beginPulse() {
    guard let milliseconds = configuration.pulseMilliseconds, configuration.onNews != nil else { return }
    let timer = pulseTimer ?? LoopTimer(loop) { [unowned self] in assumeIsolated { $0.beginPulse() } }
    pulseTimer = timer
    timer.schedule(afterMilliseconds: milliseconds)
    tell(.pulse)
  }

  func tell(_ news: ServerNews) {
    configuration.onNews?(news)
  }

  /// A turn is over: if it has changed how much goes on, that is told, a little later if it was told just now.
  func noteLoad() {
    guard configuration.onNews != nil, phase != .idle, !loadTimerIsArmed else { return }
    let load = ServerLoad(connections: bridge.connections, callsInFlight: bridge.callsInFlight)
    guard load != toldLoad else { return }
    toldLoad = load
    tell(.load(load))
    loadTimerIsArmed = true
    let timer = loadTimer ?? LoopTimer(loop) { [unowned self] in assumeIsolated { $0.loadMayBeToldAgain() } }
    loadTimer = timer
    timer.schedule(afterMilliseconds: Self.millisecondsBetweenLoads)
  }

  private func loadMayBeToldAgain() {
    loadTimerIsArmed = false
    noteLoad()
  }
}
