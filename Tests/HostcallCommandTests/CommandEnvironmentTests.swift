import Glibc
import HostcallFunctions
import HostcallWire
import Testing

@testable import hostcall

@Suite("The environment and the errors of a served command")
struct CommandEnvironmentTests {
  private func variables(_ request: HostcallRequest) -> [String: String] {
    CommandEnvironment.variables(for: request, socketPath: "/run/s")
  }

  @Test func aCallIsDescribedByVariables() throws {
    let request = HostcallRequest(
      function: "image.resize", encoding: .json, metadata: ["trace-id": "7", "x": "a b=c"], correlationID: 42,
      deadline: .now + .seconds(10))
    let variables = variables(request)
    #expect(variables["HOSTCALL_FUNCTION"] == "image.resize")
    #expect(variables["HOSTCALL_CALL_ID"] == "42")
    #expect(variables["HOSTCALL_ENCODING"] == "json")
    #expect(variables["HOSTCALL_SOCKET"] == "/run/s")
    #expect(variables["HOSTCALL_META_TRACE_ID"] == "7")
    #expect(variables["HOSTCALL_META_X"] == "a b=c")
    let left = try #require(variables["HOSTCALL_TIMEOUT_MS"].flatMap(Int.init))
    #expect((1...10_000).contains(left))
    #expect(variables.count == 7)
  }

  @Test func aDeadlineThatHasPassedLeavesOneMillisecond() {
    let request = HostcallRequest(function: "f", deadline: .now - .seconds(1))
    #expect(variables(request)["HOSTCALL_TIMEOUT_MS"] == "1")
  }

  @Test func metadataOfAnOuterCallIsTakenAway() {
    let request = HostcallRequest(function: "f", metadata: ["kept": "new"])
    let inherited = [
      "PATH=/bin", "HOSTCALL_META_OLD=1", "HOSTCALL_META_KEPT=old", "HOSTCALL_METAL=iron", "HOSTCALL_SOCKET=/other",
    ]
    let entries = CommandEnvironment.entries(for: request, socketPath: "/run/s", inherited: inherited)
    #expect(entries.starts(with: ["PATH=/bin", "HOSTCALL_METAL=iron"]))
    #expect(entries.contains("HOSTCALL_META_KEPT=new"))
    #expect(entries.contains("HOSTCALL_SOCKET=/run/s"))
    #expect(Set(entries.map { $0.prefix { $0 != "=" } }).count == entries.count)
    #expect(!entries.contains { $0.hasPrefix("HOSTCALL_META_OLD") })
  }

  @Test func passedFilesAreCountedAndThoseOfAnOuterCallAreNot() throws {
    let descriptors = try HostcallDescriptors(duplicating: [STDERR_FILENO, STDERR_FILENO])
    #expect(variables(HostcallRequest(function: "f", descriptors: descriptors))["HOSTCALL_FDS"] == "2")
    let entries = CommandEnvironment.entries(
      for: HostcallRequest(function: "f"), socketPath: "/run/s", inherited: ["HOSTCALL_FDS=3", "HOSTCALL_FDSX=4"])
    #expect(!entries.contains { $0.hasPrefix("HOSTCALL_FDS=") })
    #expect(entries.contains("HOSTCALL_FDSX=4"))
  }

  @Test func theTailOfErrorsIsTrimmedText() {
    var tail = OutputTail()
    #expect(tail.text == "")
    tail.append(Array("\n  one\n".utf8))
    tail.append(Array("two  \n\n".utf8))
    #expect(tail.text == "one\ntwo")
  }

  @Test func aLongTailBeginsWithAWholeLine() {
    var tail = OutputTail()
    for number in 1...10_000 { tail.append(Array("line \(number)\n".utf8)) }
    #expect(tail.text.utf8.count <= OutputTail.longestBytes)
    #expect(tail.text.hasPrefix("…line "))
    #expect(tail.text.hasSuffix("line 9999\nline 10000"))
  }

  @Test func aLongLineIsCutAtACharacter() {
    var tail = OutputTail()
    tail.append([UInt8](String(repeating: "ä", count: 5_000).utf8) + [UInt8(ascii: "x")])
    #expect(tail.text.hasPrefix("…ä"))
    #expect(tail.text.hasSuffix("äx"))
    #expect(!tail.text.contains("\u{fffd}"))
  }

  @Test func commandsThatAreLeavingSayHowManyCallsTheyWaitFor() {
    #expect(ServeCommand.leaving(running: 0) == "leaving")
    #expect(ServeCommand.leaving(running: 1).hasPrefix("leaving when the call that runs has ended"))
    #expect(ServeCommand.leaving(running: 2).hasPrefix("leaving when the 2 calls that run have ended"))
  }
}
