import Glibc
import HostcallTestSupport
import HostcallWire

/// Random work of many peers against one daemon, under every fault at once, with an account of every call.
///
/// Some peers are connected to the daemon itself, some through a proxy that fragments, delays, cuts and resets, and some
/// through one that corrupts. System calls of the daemon fail. Programs that use the client library, whose system calls
/// fail too, call and serve beside them, and are killed. Now and then everybody stops, and the ledger has to balance.
package final class Soak {
  package struct Options: Sendable {
    /// How many calls the ledger follows.
    package var calls = 20_000
    package var seed: UInt64 = 1
    package var callsPerRound = 5_000
    package var usualLargestBytes = 20_000
    /// Programs that use the client library.
    package var programs = 2
    /// Of ten thousand system calls of the daemon, how many meet each passing fault, and one that ends a connection.
    package var passingFaults = 30
    package var endingFaults = 1
    /// About how many turns of the peers it is from one restart of the daemon to the next; nil where it is not restarted.
    /// Then none of its system calls fails, for a daemon that cannot hand over shuts down.
    package var turnsBetweenRestarts: Int?
    /// Asked between rounds; after a yes the rest of the calls are not made.
    package var shouldStop: @Sendable () -> Bool = { false }
    /// Says what goes on.
    package var progress: @Sendable (String) -> Void = { _ in }

    package init() {}
  }

  /// How long everything may take to come to its end when nothing new begins.
  private static let mostQuietSeconds = 60.0

  private let options: Options
  private let world: SoakWorld
  private let daemon: SoakDaemon
  private let proxy: FaultProxy
  private let corruptingProxy: FaultProxy
  private let peers: [SoakPeer]
  private let wild: [WildPeer]
  private let programs: SoakPrograms
  private let start: DaemonCondition

  package init(_ options: Options) throws {
    self.options = options
    world = SoakWorld(seed: options.seed, calls: 0, usualLargestBytes: options.usualLargestBytes)
    var rates = Dictionary(uniqueKeysWithValues: FaultPlan.passing.map { ($0, options.passingFaults) })
    for fault in FaultPlan.ending { rates[fault] = options.endingFaults }
    rates["send-etoomanyrefs"] = options.passingFaults * 10
    for fault in ["recv-short", "send-short", "send-eagain", "recv-eagain"] {
      rates[fault] = options.passingFaults * 10
    }
    daemon = try SoakDaemon(
      configuration: Self.configuration,
      faults: options.turnsBetweenRestarts == nil ? FaultPlan(seed: options.seed, rates: rates) : nil)
    start = try DaemonCondition(of: daemon)
    var cutting = FaultProxy.Behaviour()
    cutting.largestBytesBeforeEnd = 200_000
    proxy = try FaultProxy(
      path: "\(daemon.folder)/bad", target: daemon.socketPath, seed: options.seed &+ 1, behaviour: cutting)
    var corrupting = FaultProxy.Behaviour()
    corrupting.corruptOneInBytes = 1_500
    corruptingProxy = try FaultProxy(
      path: "\(daemon.folder)/wrong", target: daemon.socketPath, seed: options.seed &+ 2, behaviour: corrupting)
    let (world, direct, bad) = (world, daemon.socketPath, proxy.path)
    let places: [(String, SoakPeer.Roles)] = [
      (direct, [.caller, .files]), (direct, [.caller, .files]), (direct, .caller), (direct, [.worker, .files]),
      (direct, [.worker, .files]), (direct, [.caller, .worker, .files]),
      (direct, [.caller, .worker, .events, .files]), (direct, .events), (bad, .caller), (bad, .caller),
      (bad, .worker), (bad, [.caller, .worker]), (bad, [.events, .caller]),
    ]
    peers = places.map { SoakPeer(world, path: $0.0, roles: $0.1) }
    let wrong = corruptingProxy.path
    wild = (0..<3).map { _ in WildPeer(world, path: wrong) } + [WildPeer(world, path: direct, passesFiles: true)]
    programs = try SoakPrograms(count: options.programs, daemon: daemon, seed: options.seed)
  }

  /// Low limits, so that they are met.
  private static let configuration = """
    [limits]
    queued-calls-per-function = 200
    remembered-outcomes = 100000
    output-bytes-per-connection = 1048576
    hello-milliseconds = 20000
    """

  /// Runs it all; gives the account.
  package func run() throws -> SoakReport {
    var left = options.calls
    while left > 0, world.ledger.violationCount == 0, !options.shouldStop() {
      let round = min(left, options.callsPerRound)
      left -= round
      world.isQuiet = false
      world.callsLeft = round
      try programs.tend(&world.random, ledger: world.ledger)
      while world.callsLeft > 0 { try turn() }
      try quieten()
      world.ledger.counts.rounds += 1
      options.progress("\(options.calls - left) calls, \(world.ledger.violationCount) violations")
    }
    return try finish()
  }

  // MARK: Turns

  private func turn() throws {
    if let turns = options.turnsBetweenRestarts, world.random.oneIn(turns) {
      try daemon.restart()
      world.ledger.counts.restarts += 1
    }
    world.tick()
    var polled: [pollfd] = []
    for peer in peers { polled.append(Self.interest(peer.connection, reads: peer.reads, writes: peer.writes)) }
    for peer in wild { polled.append(Self.interest(peer.connection, reads: true, writes: false)) }
    guard poll(&polled, nfds_t(polled.count), 1) >= 0 || errno == EINTR else {
      throw SoakFailure("poll failed with \(errno)")
    }
    world.tick()
    for (index, peer) in peers.enumerated() {
      if polled[index].revents & ~Int16(POLLOUT) != 0 { peer.receive() }
      peer.step()
    }
    for (index, peer) in wild.enumerated() {
      if polled[peers.count + index].revents != 0 { peer.receive() }
      peer.step()
    }
    guard daemon.isRunning else { throw SoakFailure("hostcalld has ended:\n\(daemon.log())") }
  }

  private static func interest(_ connection: SoakConnection?, reads: Bool, writes: Bool) -> pollfd {
    let events = (reads ? Int16(POLLIN) : 0) | (writes ? Int16(POLLOUT) : 0)
    return pollfd(fd: events == 0 ? -1 : connection?.descriptor ?? -1, events: events, revents: 0)
  }

  /// Begins nothing new, waits until all that goes on has ended, and has the ledger settle.
  private func quieten() throws {
    world.isQuiet = true
    let deadline = world.now + UInt64(Self.mostQuietSeconds * 1e9)
    while !peers.allSatisfy({ $0.isIdle }) {
      try turn()
      if world.now > deadline { return reportHanging() }
    }
    for peer in peers { peer.beginBarrier() }
    while !peers.allSatisfy({ $0.barrierHasPassed && $0.isIdle }) {
      try turn()
      if world.now > deadline { return reportHanging() }
    }
    world.ledger.settle(now: world.now)
    for peer in peers { peer.forget() }
  }

  private func reportHanging() {
    for (index, peer) in peers.enumerated() where !peer.isIdle || !peer.barrierHasPassed {
      world.ledger.violated(
        "peer \(index) hangs: \(peer.outstanding.count) calls, \(peer.running.count) runs, \(peer.requests.count) "
          + "requests, \(peer.isOpen ? "open" : "not open"), barrier \(peer.barrierHasPassed)")
      for call in peer.outstanding.values.prefix(3) { world.ledger.violated("\(world.ledger.name(call)) hangs") }
      for invocation in peer.running.values.prefix(3) {
        world.ledger.violated("\(world.ledger.name(invocation.call)) is held as \(invocation.id)")
      }
    }
  }

  // MARK: The end

  private func finish() throws -> SoakReport {
    world.isQuiet = true
    try programs.finish(ledger: world.ledger)
    for peer in peers { peer.lose() }
    for peer in wild { peer.lose() }
    let bad = proxy.stop()
    let wrong = corruptingProxy.stop()
    let end = try start.awaitReturn(of: daemon)
    if let difference = end.difference(from: start) {
      world.ledger.violated("hostcalld does not let go: \(difference)")
    }
    let status = daemon.stop()
    if status != 0 { world.ledger.violated("hostcalld ended with \(status):\n\(daemon.log())") }
    return SoakReport(
      seed: options.seed, counts: world.ledger.counts, proxy: bad, corruptingProxy: wrong,
      faults: daemon.faultCounts(), residentKilobytes: (start.residentKilobytes, end.residentKilobytes),
      violations: world.ledger.violations, violationCount: world.ledger.violationCount)
  }
}

/// What keeps a soak from going on.
package struct SoakFailure: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) {
    self.description = description
  }
}
