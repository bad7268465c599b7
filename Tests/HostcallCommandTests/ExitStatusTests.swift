import HostcallFunctions
import HostcallWire
import Testing

@testable import hostcall

@Suite("Exit statuses")
struct ExitStatusTests {
  @Test func theDaemonsStatusesAreToldApart() {
    func status(_ status: Status) -> Int32 {
      HostcallError(.status(status), origin: .daemon, message: "").exitStatus.rawValue
    }
    #expect(status(.timeout) == 3)
    #expect(status(.notFound) == 4)
    for other in [Status.cancelled, .workerLost, .overloaded, .denied, .tooLarge, .shuttingDown, .invalidArgument] {
      #expect(status(other) == 5, "\(other)")
    }
  }

  @Test func whateverTheWorkerChoseIsAFailureOfTheFunction() {
    for status in [Status.failed, .timeout, .notFound, .cancelled, .unknown, Status(rawValue: 200)] {
      #expect(HostcallError(.status(status), origin: .worker, message: "").exitStatus == .functionFailed, "\(status)")
    }
  }

  @Test func connectionsAndArgumentsHaveTheirOwn() {
    #expect(HostcallError(.cannotConnect, message: "").exitStatus.rawValue == 2)
    #expect(HostcallError(.cannotConnect, status: .denied, origin: .daemon, message: "").exitStatus.rawValue == 2)
    #expect(HostcallError(.connectionLost, message: "").exitStatus.rawValue == 2)
    #expect(HostcallError(.closed, message: "").exitStatus.rawValue == 2)
    #expect(HostcallError(.invalidArgument, message: "").exitStatus.rawValue == 64)
    #expect(ExitStatus.signal(2).rawValue == 130)
  }

  @Test func aLineSaysTheFunctionOnce() {
    func line(_ message: String) -> String {
      HostcallError(
        .status(.timeout), origin: .daemon, function: "token.fetch", correlationID: 4_294_967_301, message: message
      ).description
    }
    let expected = "token.fetch: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)"
    #expect(line("no outcome within 250 ms") == expected)
    #expect(line("token.fetch: no outcome within 250 ms") == expected)
  }

  @Test func aDiagnosticIsOneHarmlessLine() {
    #expect(Diagnostics.oneLine("first\nsecond\r\n\nthird\u{1b}[1m\u{7}\n") == "first | second? | third?[1m?")
    #expect(Diagnostics.oneLine("") == "")
    #expect(Diagnostics.reason(2) == "no such file or directory")
  }
}
