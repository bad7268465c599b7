import HostcallSoak
import HostcallTestSupport
import Testing

@Suite("Soak")
struct SoakTests {
  @Test func theLedgerOfEveryCallBalancesUnderEveryFault() throws {
    var options = Soak.Options()
    options.seed = SeededGenerator.seedFromEnvironment ?? .random(in: 1...999_999_999)
    print("Soak: HOSTCALL_SEED=\(options.seed)")
    options.calls = 12_000
    options.callsPerRound = 2_000
    let report = try Soak(options).run()
    #expect(report.isBalanced, "\(report)")
    #expect(report.counts.calls == options.calls)
    // A soak in which nothing goes wrong shows nothing.
    #expect(report.counts.peersKilled > 0 && report.proxy.cuts + report.proxy.resets > 0)
    #expect(report.corruptingProxy.corruptions > 0 && report.faults.values.reduce(0, +) > 100)
    #expect(report.counts.completionsLate > 0 && report.counts.items > 0 && report.counts.eventsReceived > 0)
  }

  @Test func theLedgerBalancesWhileTheDaemonIsRestarted() throws {
    var options = Soak.Options()
    options.seed = SeededGenerator.seedFromEnvironment ?? .random(in: 1...999_999_999)
    print("Soak with restarts: HOSTCALL_SEED=\(options.seed)")
    options.calls = 6_000
    options.callsPerRound = 2_000
    options.turnsBetweenRestarts = 12
    let report = try Soak(options).run()
    #expect(report.isBalanced, "\(report)")
    #expect(report.counts.calls == options.calls && report.counts.restarts > 3)
    #expect(report.counts.completionsLate > 0 && report.counts.items > 0 && report.counts.eventsReceived > 0)
  }
}
