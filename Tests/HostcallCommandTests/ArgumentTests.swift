import ArgumentParser
import HostcallFunctions
import HostcallWire
import Testing

@testable import hostcall

@Suite("Arguments")
struct ArgumentTests {
  private func metadata(_ arguments: [String]) throws -> [String] {
    try MetadataArgument.metadata(arguments.map(MetadataArgument.parse)).entries.map { "\($0.key): \($0.value)" }
  }

  @Test func metadataKeepsItsOrderAndWhatFollowsTheFirstEqualsSign() throws {
    #expect(try metadata([]) == [])
    #expect(try metadata(["b=1", "a=x=y", "c=", "d= é "]) == ["b: 1", "a: x=y", "c: ", "d:  é "])
  }

  @Test(arguments: [
    (["a"], "key=value"), ([""], "key=value"), (["=1"], "not 1 to 64"), (["A=1"], "not 1 to 64"),
    (["a_b=1"], "not 1 to 64"), (["hostcall-caller-uid=0"], "for the daemon to write"),
    (["a=1", "a=1"], "given twice"),
  ])
  func metadataThatCannotTravelIsRefused(_ arguments: [String], _ hint: String) throws {
    let error = try #require(throws: ValidationError.self) { try metadata(arguments) }
    #expect(error.message.contains(hint), "\(error.message)")
  }

  @Test func aPayloadIsTextOrStandardInputOrAFile() {
    #expect(PayloadArgument(nil) == .text(""))
    #expect(PayloadArgument("") == .text(""))
    #expect(PayloadArgument("-") == .standardInput)
    #expect(PayloadArgument("--") == .text("--"))
    #expect(PayloadArgument("@a b") == .file("a b"))
    #expect(PayloadArgument("a@b") == .text("a@b"))
  }

  @Test func encodingsHaveNamesAndTheApplicationsHaveNumbers() {
    #expect(PayloadEncoding(argument: "raw") == .raw)
    #expect(PayloadEncoding(argument: "json") == .json)
    #expect(PayloadEncoding(argument: "cbor") == .cbor)
    #expect(PayloadEncoding(argument: "200")?.rawValue == 200)
    for wrong in ["", "JSON", "1", "127", "256", "-1"] { #expect(PayloadEncoding(argument: wrong) == nil, "\(wrong)") }
  }

  @Test func callTakesItsArguments() async throws {
    let call = try await CallCommand.asyncParse([
      "token.fetch", "-", "--timeout", "2s", "--encoding", "json", "--meta", "a=1", "--meta", "b=2", "--wait",
      "--idempotent", "--no-reply", "--socket", "/s",
    ])
    #expect(call.name == "token.fetch")
    #expect(call.payload == "-")
    #expect(call.timeout == .seconds(2))
    #expect(call.sent.encoding == .json)
    #expect(call.sent.meta.map(\.key) == ["a", "b"])
    #expect(call.wait && call.idempotent && call.noReply)
    #expect(call.connection.socket == "/s")
  }

  @Test func callTakesStreamsAndFiles() async throws {
    let call = try await CallCommand.asyncParse([
      "log.tail", "--stream", "--raw", "--items", "@lines", "--fd", "/a", "--fd", "/b",
    ])
    #expect(call.stream && call.raw)
    #expect(call.items.flatMap(ItemSource.init) == .file("lines"))
    #expect(call.fd == ["/a", "/b"])
    #expect(ItemSource("-") == .standardInput)
  }

  @Test func publishAndWatchTakeTheirArguments() async throws {
    let publish = try await PublishCommand.asyncParse(["door.opened", "front", "--encoding", "json", "--meta", "a=1"])
    #expect(publish.name == "door.opened")
    #expect(publish.payload == "front")
    #expect(publish.sent.encoding == .json)
    #expect(!publish.json)
    let watch = try await WatchCommand.asyncParse(["door.*", "--json", "--count", "3"])
    #expect(watch.pattern == "door.*")
    #expect(watch.json)
    #expect(watch.count == 3)
  }

  @Test func benchTakesItsArguments() async throws {
    let closed = try await BenchCommand.asyncParse([
      "token.fetch", "--depth", "8", "--calls", "100", "--size", "4096", "--connections", "2", "--warm-up", "0",
      "--timeout", "2s", "--compare", "raw", "--json",
    ])
    #expect(closed.function == "token.fetch")
    #expect(closed.compare == .raw)
    #expect(closed.json)
    #expect(
      closed.plan
        == BenchPlan(
          load: .closed(depth: 8), connections: 2, calls: 100, seconds: nil, sizeBytes: 4_096, timeout: .seconds(2),
          warmUpCalls: 0))
    let open = try await BenchCommand.asyncParse(["--name", "token.fetch", "--rate", "2.5"])
    #expect(open.name == "token.fetch")
    #expect(
      open.plan
        == BenchPlan(
          load: .open(callsPerSecond: 2.5), connections: 1, calls: nil, seconds: 5, sizeBytes: 64, timeout: nil,
          warmUpCalls: 1_000))
  }

  @Test func serveTakesEverythingAfterTheTerminatorAsTheCommand() async throws {
    let serve = try await ServeCommand.asyncParse([
      "image.*", "--mode", "exclusive", "--concurrency", "3", "--", "sh", "-c", "exit 0", "--mode", "--",
    ])
    #expect(serve.name == "image.*")
    #expect(serve.mode == .exclusive)
    #expect(serve.concurrency == 3)
    #expect(serve.grace == .seconds(5))
    #expect(serve.command == ["sh", "-c", "exit 0", "--mode", "--"])
  }

  @Test(arguments: [
    ["call"], ["call", "a..b"], ["call", "a.*"], ["call", "a", "b", "c"], ["call", "a", "--timeout", "5"],
    ["call", "a", "--meta", "x"], ["call", "a", "--encoding", "xml"], ["call", "a", "--socket", ""], ["serve", "a"],
    ["serve", "a", "cat"], ["serve", "a", "--"], ["serve", "a b", "--", "cat"], ["serve", "a.*.b", "--", "cat"],
    ["serve", "a", "--concurrency", "0", "--", "cat"], ["serve", "a", "--mode", "x", "--", "cat"],
    ["serve", "a", "--grace", "0s", "--", "cat"], ["call", "a", "--raw"], ["call", "a", "--stream", "--no-reply"],
    ["call", "a", "--items", "-", "--no-reply"], ["call", "a", "--items", "x"], ["call", "a", "--items", "@"],
    ["call", "a", "-", "--items", "-"], ["call", "a"] + Array(repeating: ["--fd", "/dev/null"], count: 17).joined(),
    ["publish"], ["publish", "a.*"], ["publish", "a", "--meta", "x"], ["publish", "a", "b", "c"], ["watch"],
    ["watch", "a b"], ["watch", "a", "--count", "0"], ["ping", "--count", "0"], ["functions", "x"], ["frobnicate"],
    ["bench", "a.*"], ["bench", "a", "b"], ["bench", "a", "--name", "a"], ["bench", "--depth", "0"],
    ["bench", "--depth", "1", "--rate", "1"], ["bench", "--rate", "0"], ["bench", "--rate", "nan"],
    ["bench", "--calls", "0"], ["bench", "--seconds", "0"], ["bench", "--seconds", "inf"], ["bench", "--size", "-1"],
    ["bench", "--size", "4294967296"], ["bench", "--connections", "0"], ["bench", "--warm-up", "-1"],
    ["bench", "--compare", "x"], ["bench", "--timeout", "5"], ["bench", "--size", "1048576", "--depth", "257"],
  ])
  func argumentsThatCannotBeAreUsageErrors(_ arguments: [String]) async throws {
    let error = try await #require(throws: (any Error).self) {
      try await HostcallCommand.asyncParseAsRoot(arguments)
    }
    #expect(HostcallCommand.exitCode(for: error).rawValue == 64)
  }

  @Test func everyHelpShowsAnExample() {
    let commands: [any ParsableCommand.Type] = [HostcallCommand.self] + HostcallCommand.configuration.subcommands
    for command in commands {
      let help = command.helpMessage(columns: 80)
      #expect(help.contains("Example:\n  hostcall "), "\(help)")
    }
    #expect(commands.count == 13)
  }
}
