import HostcallSoak
import Testing

/// The long form of both is Scripts/restart.
@Suite("Restart under load", .timeLimit(.minutes(3)))
struct RestartUnderLoadTests {
  @Test func everythingArrivesOnceAndInOrderAndNobodyConnectsAgain() throws {
    var options = Restarts.Options()
    options.restarts = 6
    options.callsInFlight = 400
    options.answersBetween = 1_000
    let report = try Restarts(options).run()
    #expect(report.violations.isEmpty, "\(report)")
    #expect(report.restarts == options.restarts && report.gaps.count == options.restarts)
    #expect(report.calls.count >= options.restarts * options.answersBetween && report.items > 0 && report.events > 0)
  }

  @Test func whatAKillTakesAlongHasItsOneOutcome() async throws {
    var options = Kills.Options()
    options.kills = 3
    options.outcomesBetween = 100
    let report = try await Kills(options).run()
    #expect(report.violations.isEmpty, "\(report)")
    #expect(report.kills == options.kills && report.account.lost > 0 && report.account.answered >= 400)
  }
}
