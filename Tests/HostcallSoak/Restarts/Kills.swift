import Glibc
import HostcallLoop
import HostcallTestSupport

/// Kills a daemon again and again while programs with the client library call and serve. What a kill takes along has its
/// one outcome all the same, from the client library; and everybody is there again afterwards.
package final class Kills {
  package struct Options: Sendable {
    package var kills = 20
    /// Outcomes between one kill and the next.
    package var outcomesBetween = 500
    package var workers = 2
    package var progress: @Sendable (String) -> Void = { _ in }

    package init() {}
  }

  /// How long the outcomes between two kills may take.
  private static let mostSeconds = 60

  private let options: Options
  private let service: FakeService
  private let account = HeapCondition(CallAccount())
  private var daemon: ChildProcess

  package init(_ options: Options) throws {
    self.options = options
    service = try FakeService(["s"], arguments: ["--log-level", "error"])
    daemon = try service.start()
  }

  package func run() async throws -> KillReport {
    let path = service.folder.file("s")
    let errors = service.folder.file("errors")
    let workers = try (0..<options.workers).map { _ in
      try ChildProcess("hostcall-soak", ["serve", "--socket", path], errors: errors)
    }
    nonisolated(unsafe) let this = self
    let killer = try SystemThread(named: "killer") { this.killAgainAndAgain() }
    var violations: [String] = []
    do {
      try await ProgramCaller(socketPath: path, number: 1).run(account) { !$1.isOver }
    } catch {
      violations.append("\(error)")
      end()
    }
    killer.join()
    if let failure { violations.append(failure) }
    for worker in workers {
      if !worker.isRunning {
        violations.append("a worker has ended: \(String(decoding: Files.read(errors), as: UTF8.self))")
      }
      worker.stop(signal: SIGKILL)
    }
    let status = daemon.stop()
    if status != 0 { violations.append("hostcalld ended with \(status): \(service.log())") }
    let final = account.current
    if final.begun != final.outcomes { violations.append("\(final.begun) calls, \(final.outcomes) outcomes") }
    return KillReport(kills: killed, account: final, violations: violations)
  }

  /// The killer's own, until it has ended.
  private var killed = 0
  private var failure: String?

  private func killAgainAndAgain() {
    do {
      for number in 1...options.kills {
        try waitForAnswers()
        if account.current.isOver { return }
        daemon.stop(signal: SIGKILL)
        daemon = try service.start()
        killed = number
        options.progress("\(number) of \(options.kills)")
      }
      try waitForAnswers()
    } catch {
      failure = "\(error)"
    }
    end()
  }

  /// Answers have to come again after each kill, from workers that have registered again.
  private func waitForAnswers() throws {
    let wanted = account.current.answered + options.outcomesBetween
    guard account.wait(milliseconds: Self.mostSeconds * 1_000, until: { $0.isOver || $0.answered >= wanted }) else {
      throw SoakFailure("\(wanted) answers have not come within \(Self.mostSeconds) s")
    }
  }

  private func end() {
    account.change { account in
      account.isOver = true
      return true
    }
  }
}

/// What has become of calls.
package struct CallAccount: Sendable {
  package internal(set) var begun = 0
  /// No more are wanted.
  package internal(set) var isOver = false
  /// With what a worker has answered.
  package internal(set) var answered = 0
  /// Ended by the client library, for their connection was lost.
  package internal(set) var lost = 0
  /// Ended by the daemon.
  package internal(set) var refused = 0

  package var outcomes: Int { answered + lost + refused }
}

/// What kills under load have come to.
package struct KillReport: Sendable, CustomStringConvertible {
  package let kills: Int
  package let account: CallAccount
  package let violations: [String]

  package var description: String {
    ([
      "\(kills) kills: \(account.begun) calls, \(account.outcomes) outcomes: \(account.answered) answered, "
        + "\(account.lost) lost with the connection, \(account.refused) ended by the daemon",
      violations.isEmpty ? "the ledger balances" : "the ledger does not balance",
    ] + violations.map { "WRONG: \($0)" }).joined(separator: "\n")
  }
}
