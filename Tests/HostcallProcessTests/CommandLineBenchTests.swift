import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// `hostcall bench` as a process.
@Suite("hostcall bench, as a process")
struct CommandLineBenchTests {
  /// What `--json` wrote.
  private func object(_ output: String) throws -> [String: Any] {
    let lines = output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 2 && lines.last == "", "\(output)")
    return try #require(try JSONSerialization.jsonObject(with: Data(lines[0].utf8)) as? [String: Any])
  }

  private func number(_ object: [String: Any], _ path: String...) -> Double? {
    var value: Any? = object
    for key in path { value = (value as? [String: Any])?[key] }
    return (value as? NSNumber)?.doubleValue
  }

  @Test func withoutANameItCallsAnEchoOfItsOwn() throws {
    let daemon = try DaemonProcess()
    let outcome = try daemon.hostcall(["bench", "--calls", "300", "--depth", "4", "--connections", "2"])
    #expect(outcome.status == 0)
    // No terminal, no progress.
    #expect(outcome.errors == "")
    let expected =
      #/bench\.echo-[a-z0-9]+, an echo of this command's own, at .+\nclosed loop: 4 calls in flight on each of 2 connections, 64 B a call\n(.|\n)*/#
    #expect(outcome.text.wholeMatch(of: expected) != nil, "\(outcome.text)")
    #expect(outcome.text.contains("\n  300 "))
    #expect(outcome.text.contains("P50"))
    #expect(outcome.text.contains("\nLATENCY "))
    #expect(outcome.text.contains("█"))
    try eventually("its echo is gone") { try !daemon.hostcall(["functions"]).text.contains("bench.echo") }
  }

  @Test func itCallsWhatItIsTold() throws {
    let daemon = try DaemonProcess()
    for name in [["hostcall.echo"], ["--name", "hostcall.echo"]] {
      let outcome = try daemon.hostcall(["bench"] + name + ["--calls", "50", "--size", "0", "--json"])
      #expect(outcome.status == 0, "\(outcome.errors)")
      let object = try object(outcome.text)
      #expect(number(object, "succeeded") == 50)
      #expect((object["parameters"] as? [String: Any])?["function"] as? String == "hostcall.echo")
      #expect(object["wrongAnswers"] is NSNull)
      #expect(object["unsent"] is NSNull)
    }
  }

  @Test func theOpenLoopMakesEveryCallThatIsDue() throws {
    let daemon = try DaemonProcess()
    let outcome = try daemon.hostcall(["bench", "--rate", "5000", "--calls", "200", "--json"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let object = try object(outcome.text)
    #expect(number(object, "calls") == 200)
    #expect(number(object, "succeeded") == 200)
    #expect(number(object, "unsent") == 0)
    #expect(number(object, "wrongAnswers") == 0)
    #expect(number(object, "latenessMicroseconds", "p99") != nil)
    #expect(number(object, "parameters", "callsPerSecond") == 5_000)
    #expect((object["parameters"] as? [String: Any])?["depth"] is NSNull)
  }

  @Test func aBareSocketStandsBesideTheCalls() throws {
    let daemon = try DaemonProcess()
    let json = try daemon.hostcall(["bench", "--calls", "100", "--size", "1000", "--compare", "raw", "--json"])
    #expect(json.status == 0, "\(json.errors)")
    let object = try object(json.text)
    for key in ["p50Ratio", "p99Ratio"] { #expect(number(object, "raw", key).map { $0 > 0 } == true, "\(key)") }
    #expect(number(object, "raw", "latencyMicroseconds", "p50") != nil)
    let text = try daemon.hostcall(["bench", "--calls", "100", "--compare", "raw"]).text
    #expect(text.contains("\nraw socket, one message in flight  "), "\(text)")
    #expect(text.contains("\ntimes as long "))
  }

  @Test func aNameThatNobodyHasIsSaidAtOnce() throws {
    let outcome = try DaemonProcess().hostcall(["bench", "no.such"])
    #expect(outcome.status == 4)
    #expect(outcome.output == [])
    #expect(
      outcome.errors
        == "hostcall: no.such: NOT_FOUND from the daemon: nobody has registered it (start its worker first, or leave "
        + "the name out: bench then serves an echo of its own)\n")
  }

  @Test func aFunctionThatFailsIsCountedAndIs1() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve("wrong", script: "echo no >&2; exit 3")
    let arguments = ["bench", "wrong", "--calls", "3", "--warm-up", "0"]
    let outcome = try daemon.hostcall(arguments)
    #expect(outcome.status == 1)
    #expect(outcome.text.contains("\nFAILURE  CALLS\nFAILED       3\n"), "\(outcome.text)")
    let expected = #/hostcall: 3 of 3 calls failed; the first: wrong: FAILED from the worker: no \(call [0-9]+\)\n/#
    #expect(outcome.errors.wholeMatch(of: expected) != nil, "\(outcome.errors)")
    let json = try daemon.hostcall(arguments + ["--json"])
    #expect(json.status == 1)
    let object = try object(json.text)
    #expect(number(object, "failed") == 3)
    #expect(number(object, "failures", "FAILED") == 3)
    #expect(served.command.child.isRunning)
  }

  @Test func callsWithoutAnOutcomeAre3() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("stuck")
    let outcome = try daemon.hostcall(["bench", "stuck", "--calls", "2", "--warm-up", "0", "--timeout", "50ms"])
    #expect(outcome.status == 3)
    #expect(outcome.text.contains("\nTIMEOUT      2\n"), "\(outcome.text)")
  }

  @Test func anInterruptShowsWhatWasMeasured() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("stuck")
    let bench = try daemon.start(["bench", "stuck", "--depth", "2", "--warm-up", "0", "--json"])
    // One call to see whether there is such a function, then one that is answered, and two that are not.
    for _ in 0..<2 { try worker.complete(worker.expect(.invoke).header.id) }
    for _ in 0..<2 { try worker.expect(.invoke) }
    bench.signal(SIGINT)
    #expect(bench.child.wait() == 128 + SIGINT)
    let object = try object(bench.output)
    #expect(number(object, "succeeded") == 1)
    #expect(number(object, "unfinished") == 2)
    #expect(object["interrupted"] as? Bool == true)
  }

  @Test func aDaemonThatDiesEndsTheRunWith2() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("stuck")
    let bench = try daemon.start(["bench", "stuck", "--seconds", "3600", "--warm-up", "0"])
    try worker.complete(worker.expect(.invoke).header.id)
    try worker.expect(.invoke)
    daemon.stop(signal: SIGKILL)
    #expect(bench.child.wait() == 2)
    #expect(bench.output.contains("\nCONNECTION_LOST      1\n"), "\(bench.output)")
    #expect(bench.errors.hasPrefix("hostcall: 1 of 1 call failed; the first: stuck: "), "\(bench.errors)")
  }

  @Test func whatTheDaemonDoesNotTakeIsSaidBeforeTheFirstCall() throws {
    let daemon = try DaemonProcess(
      configuration: "[limits]\nframe-bytes = 4096\ncalls-in-flight-per-connection = 8\n")
    let large = try daemon.hostcall(["bench", "hostcall.echo", "--size", "4084"])
    #expect(large.status == 5)
    #expect(
      large.errors
        == "hostcall: cannot send payloads of 4084 bytes: with the name of hostcall.echo the daemon takes 4083 at most "
        + "(lower --size, or raise its limit frame-bytes)\n")
    #expect(try daemon.hostcall(["bench", "hostcall.echo", "--size", "4083", "--calls", "5"]).status == 0)
    let deep = try daemon.hostcall(["bench", "--depth", "9"])
    #expect(deep.status == 5)
    #expect(
      deep.errors
        == "hostcall: cannot have 9 calls in flight on a connection: the daemon allows 8 (lower --depth and add "
        + "--connections, or raise its limit calls-in-flight-per-connection)\n")
    #expect(try daemon.hostcall(["bench", "--depth", "8", "--calls", "50"]).status == 0)
  }
}
