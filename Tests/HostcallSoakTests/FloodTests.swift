import Glibc
import HostcallSoak
import HostcallTestSupport
import Testing

@Suite("Floods")
struct FloodTests {
  /// What a flood costs others is measured by Scripts/flood; here, that they are served and that it all comes back.
  @Test(arguments: FloodKind.allCases)
  func othersAreServedAndNothingIsHeldWhenItIsOver(_ kind: FloodKind) throws {
    var options = Floods.Options()
    options.kinds = [kind]
    options.rounds = 1
    options.calls = 200
    options.isShort = true
    let report = try Floods(options).run()
    #expect(report.difference == nil)
    // Who is not root cannot be two users.
    #expect(report.rounds.count == (kind == .limits && getuid() != 0 ? 0 : 1))
  }
}
