import HostcallClient
import HostcallWire

/// The calls of `bench`, made through the client library as any program would make them.
struct BenchLoad: Sendable {
  /// One for each connection.
  let clients: [HostcallClient]
  let function: String
  let payload: BenchPayload
  /// How long each call may take; nil for the daemon's default.
  let timeout: Duration?
  /// Whether every answer has to be what was sent.
  let comparesAnswers: Bool

  /// Keeps so many calls in flight on each connection until there are no more tickets.
  func runClosed(depth: Int, _ board: BenchBoard) async {
    await withDiscardingTaskGroup { group in
      for connection in clients.indices {
        for _ in 0..<depth {
          group.addTask {
            while !Task.isCancelled, let number = board.takeTicket() {
              await call(number, on: connection, due: nil, board)
            }
          }
        }
      }
    }
  }

  /// Sends each call when it is due, and waits for the answers when all have been sent.
  func runOpen(_ board: BenchBoard) async {
    await withDiscardingTaskGroup { group in
      var number = 0
      while !Task.isCancelled {
        switch board.nextStep() {
        case .send(let connection, let due):
          number += 1
          group.addTask { [number] in await call(number, on: connection, due: due, board) }
        case .wait(let time): await board.sleep(until: time)
        case .full: await board.waitForRoom()
        case .over: return
        }
      }
    }
  }

  /// Makes one call to learn whether it is worth to make more.
  ///
  /// Gives back why not: nobody has the function, policy does not allow it, or the daemon takes no such payload, so that
  /// all calls would end the same way; or the connection was lost. Any other outcome is for the run to count.
  func refusal() async -> HostcallError? {
    do {
      try await clients[0].call(function, payload.bytes(ofCall: 0), timeout: timeout)
      return nil
    } catch {
      return error.endsConnection || error.wouldMeetAllCalls ? error : nil
    }
  }

  /// Makes one call, which is due when it is sent unless it says otherwise, and counts it.
  private func call(_ number: Int, on connection: Int, due: Duration?, _ board: BenchBoard) async {
    let payload = payload.bytes(ofCall: number)
    let sent = board.now
    var outcome = BenchOutcome.answered
    do {
      let response = try await clients[connection].call(function, payload, timeout: timeout)
      if comparesAnswers, response.payload != payload { outcome = .wrongAnswer }
    } catch {
      outcome = Task.isCancelled && error.status == .cancelled ? .unfinished : .failed(error)
    }
    board.record(outcome, connection: connection, due: due ?? sent, sent: sent)
  }
}

extension HostcallError {
  /// Whether it is the daemon's or the client's word that no such call can succeed.
  fileprivate var wouldMeetAllCalls: Bool {
    guard origin != .worker else { return false }
    return switch status {
    case .notFound, .denied, .tooLarge, .invalidArgument: true
    default: code == .invalidArgument
    }
  }
}
