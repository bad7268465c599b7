import HostcallClient
import HostcallLoop
import HostcallWire

/// A run of `bench` from its first connection to its figures.
struct Bench: Sendable {
  /// What it came to.
  struct Result: Sendable {
    let report: BenchReport
    let tally: BenchTally
    let socketPath: String
  }

  let plan: BenchPlan
  /// What to call; nil for an echo of its own.
  let function: String?
  let comparesWithRaw: Bool
  let connection: ConnectionOptions

  /// Connects, warms up, measures and closes. When its task is cancelled it ends early, with what was measured.
  ///
  /// Errors: the daemon is not reached, does not take what the plan says, or nobody has the function.
  func run() async throws -> Result {
    let clients = try await connect()
    let information = await clients[0].serverInformation
    try checkLimits(information)
    let echo = function == nil ? try await OwnEcho(by: connection.connect()) : nil
    let name = function ?? echo?.name ?? ""
    try checkSize(information, name)
    let load = BenchLoad(
      clients: clients, function: name, payload: BenchPayload(sizeBytes: plan.sizeBytes), timeout: plan.timeout,
      comparesAnswers: echo != nil)
    try await probe(load)
    let places = plan.placesPerConnection(allowed: information?.callsInFlight ?? 1)
    try await warmUp(load, depth: plan.warmUpDepth(places: places))
    let board = await measure(load, places: places)
    let (tally, unsent, isInterrupted) = (board.tally, board.unsent, Task.isCancelled)
    let raw = comparesWithRaw && !isInterrupted ? try await measureRawSocket() : nil
    for client in clients { await client.close() }
    await echo?.client.close()
    return Result(
      report: BenchReport(
        tally, unsent: unsent, parameters: .init(plan, function: name, ownEcho: echo != nil),
        server: information?.server ?? "hostcalld", interrupted: isInterrupted, raw: raw),
      tally: tally, socketPath: clients[0].socketPath)
  }

  private func connect() async throws(HostcallError) -> [HostcallClient] {
    var clients: [HostcallClient] = []
    for _ in 0..<plan.connections { clients.append(try await connection.connect()) }
    return clients
  }

  /// Errors: the daemon does not allow that many calls in flight.
  private func checkLimits(_ information: HostcallServerInformation?) throws(CommandFailure) {
    guard let allowed = information?.callsInFlight, let depth = plan.load.depth, depth > allowed else { return }
    throw CommandFailure(
      "cannot have \(depth) calls in flight on a connection: the daemon allows \(allowed) "
        + "(lower --depth and add --connections, or raise its limit calls-in-flight-per-connection)", .refused)
  }

  /// Errors: a frame of that size is larger than the daemon takes.
  private func checkSize(_ information: HostcallServerInformation?, _ name: String) throws(CommandFailure) {
    guard let largest = information?.largestFrameBytes, plan.sizeBytes + name.utf8.count > largest else { return }
    throw CommandFailure(
      "cannot send payloads of \(plan.sizeBytes) bytes: with the name of \(name) the daemon takes "
        + "\(max(0, largest - name.utf8.count)) at most (lower --size, or raise its limit frame-bytes)", .refused)
  }

  /// Errors: nobody has the function, or all calls of it would be refused in the same way.
  private func probe(_ load: BenchLoad) async throws {
    guard let refusal = await load.refusal() else { return }
    guard refusal.status == .notFound else { throw refusal }
    throw CommandFailure(
      "\(refusal.description) (start its worker first, or leave the name out: bench then serves an echo of its own)",
      refusal.exitStatus)
  }

  /// Errors: the connection was lost.
  private func warmUp(_ load: BenchLoad, depth: Int) async throws(HostcallError) {
    let board = BenchBoard(CallTickets(calls: plan.warmUpCalls, length: BenchPlan.longestWarmUp))
    await load.runClosed(depth: depth, board)
    if let loss = board.loss { throw loss }
  }

  /// Runs what is measured, and shows how far it is.
  private func measure(_ load: BenchLoad, places: Int) async -> BenchBoard {
    let board = board(places: places)
    let drawing = Task { [plan] in await BenchProgress(plan: plan).draw(board) }
    switch plan.load {
    case .closed(let depth): await load.runClosed(depth: depth, board)
    case .open: await load.runOpen(board)
    }
    drawing.cancel()
    await drawing.value
    return board
  }

  /// Errors: no sockets or threads are to be had.
  private func measureRawSocket() async throws -> LatencyRecord {
    do {
      return try await RawPingPong.measure(exchanges: RawPingPong.mostExchanges, sizeBytes: plan.sizeBytes)
    } catch {
      throw CommandFailure(error.description, .refused)
    }
  }

  private func board(places: Int) -> BenchBoard {
    switch plan.load {
    case .closed: BenchBoard(CallTickets(calls: plan.calls, length: plan.seconds.map { .seconds($0) }))
    case .open(let callsPerSecond):
      BenchBoard(
        ArrivalSchedule(
          callsPerSecond: callsPerSecond, calls: plan.callsDue(callsPerSecond: callsPerSecond),
          connections: plan.connections, places: places))
    }
  }
}

extension Bench.Result {
  /// Why the command ends otherwise than well, once the figures have been shown; nil where all calls succeeded.
  func failure(signal: Int32?) -> CommandFailure? {
    let status = signal.map(ExitStatus.signal) ?? tally.firstFailure?.exitStatus ?? .functionFailed
    if report.failed > 0 {
      let what = tally.firstFailure.map { "the first: \($0.description)" } ?? "other bytes came back than were sent"
      return CommandFailure(
        "\(report.failed) of \(BenchText.count(report.calls, "call")) failed; \(what)", status)
    }
    return signal.map { CommandFailure(nil, .signal($0)) }
  }
}
