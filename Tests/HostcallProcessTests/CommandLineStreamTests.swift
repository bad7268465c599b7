import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// `hostcall call --stream` and `--items` as processes.
@Suite("hostcall and streams, as a process")
struct CommandLineStreamTests {
  @Test func eachItemIsALineAndTheResultFollows() throws {
    let call = try CallAtWorker(options: ["--stream"])
    try call.send(["one", "two\n", ""])
    // It is written when it comes, not at the end.
    try eventually("the items are written") { call.command.output == "one\ntwo\n\n" }
    try call.complete("done")
    #expect(call.command.child.wait() == 0)
    #expect(call.command.output == "one\ntwo\n\ndone\n")
    #expect(call.command.errors == "")
  }

  @Test func anEmptyResultIsNoLine() throws {
    let call = try CallAtWorker(options: ["--stream"])
    let texts = (0..<5_000).map { "\($0)" }
    try call.send(texts)
    try call.complete("")
    #expect(call.command.child.wait() == 0)
    #expect(call.command.output == texts.map { $0 + "\n" }.joined())
  }

  @Test func rawItemsAreWrittenAsTheyCame() throws {
    let call = try CallAtWorker(options: ["--stream", "--raw"])
    try call.send(["one", "two", "\n"])
    try call.complete("end")
    #expect(call.command.child.wait() == 0)
    #expect(call.command.output == "onetwo\nend")
  }

  @Test func aFailureAfterItemsKeepsThemAndIs1() throws {
    let call = try CallAtWorker(options: ["--stream"])
    try call.send(["one"])
    try call.complete("no more", status: .failed)
    #expect(call.command.child.wait() == 1)
    #expect(call.command.output == "one\n")
    #expect(call.command.errors == "hostcall: numbers: FAILED from the worker: no more (call \(call.id))\n")
  }

  @Test func anInterruptCancelsTheStreamAtItsWorker() throws {
    let call = try CallAtWorker(options: ["--stream"])
    try call.send(["one"])
    try eventually("the item is written") { call.command.output == "one\n" }
    call.command.signal(SIGINT)
    var frame = try #require(try call.worker.next())
    while frame.kind == .credit { frame = try #require(try call.worker.next()) }
    #expect(frame.kind == .cancel)
    #expect(call.command.child.wait() == 128 + SIGINT)
  }

  @Test func aReaderThatHasEnoughEndsTheStream() throws {
    let folder = TemporaryFolder()
    let (status, closed) = (folder.file("status"), folder.file("closed"))
    let call = try CallAtWorker(
      shell: "{ \"$HOSTCALL\" call numbers --stream; echo $? >\(status); } | { head -n 2; exec <&-; : >\(closed); }")
    try call.send(["one", "two"])
    try eventually("nothing is read any more") { FileManager.default.fileExists(atPath: closed) }
    #expect(call.command.output == "one\ntwo\n")
    // Which shows with the next one.
    try call.worker.send(FrameHeader(kind: .item, id: call.id, aux: 2), payload: Array("three".utf8))
    #expect(call.command.child.wait() == 0)
    #expect(String(decoding: Files.read(status), as: UTF8.self) == "141\n")
    #expect(call.command.errors == "")
  }

  @Test func linesOfStandardInputAreArguments() throws {
    let call = try CallAtWorker(shell: "printf 'one\\ntwo\\n' | \"$HOSTCALL\" call numbers start --items -")
    #expect(call.invoke.header.flags.contains(.open))
    #expect(call.invoke.text == "start")
    try call.credit(1)
    #expect(try call.worker.expect(.item).text == "one")
    try call.credit(1)
    #expect(try call.worker.expect(.item).text == "two")
    #expect(try call.worker.expect(.item).header.flags == .last)
    try call.complete("2")
    #expect(call.command.child.wait() == 0)
    #expect(call.command.output == "2")
  }

  @Test func aWorkerThatHasEnoughEndsTheCallWhileTheInputIsOpen() throws {
    let call = try CallAtWorker(shell: "yes | \"$HOSTCALL\" call numbers --items - --stream")
    try call.credit(3)
    for _ in 0..<3 { #expect(try call.worker.expect(.item).text == "y") }
    try call.complete("enough")
    #expect(call.command.child.wait() == 0)
    #expect(call.command.output == "enough\n")
  }

  @Test func anInputThatCannotBeReadIs66() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("sum")
    let missing = try daemon.hostcall(["call", "sum", "--items", "@/no/such"])
    #expect(missing.status == 66)
    let folder = try daemon.start(["call", "sum", "--items", "@/tmp"])
    let invoke = try worker.expect(.invoke)
    try worker.expect(.cancel)
    try worker.complete(invoke.header.id, status: .cancelled)
    #expect(folder.child.wait() == 5)
    #expect(folder.errors.contains("cannot read /tmp: is a directory"), "\(folder.errors)")
  }
}

/// A `hostcall call numbers`, as a process, of which the worker has got the INVOKE.
private final class CallAtWorker {
  private let daemon: DaemonProcess
  let worker: RawPeer
  let command: StartedCommand
  let invoke: RawPeer.Received

  convenience init(options: [String]) throws {
    try self.init { daemon in try daemon.start(["call", "numbers"] + options) }
  }

  /// Called by a shell script.
  convenience init(shell script: String) throws {
    try self.init { daemon in try StartedCommand(daemon, shell: script) }
  }

  private init(_ start: (DaemonProcess) throws -> StartedCommand) throws {
    daemon = try DaemonProcess()
    worker = try RawPeer(daemon.socketPath)
    try worker.register("numbers")
    command = try start(daemon)
    invoke = try worker.expect(.invoke)
  }

  /// Its correlation id.
  var id: UInt64 { invoke.header.id }

  /// The worker sends items as far as the caller's credit goes, and waits for more.
  func send(_ texts: [String]) throws {
    var credit = invoke.header.aux
    for (place, text) in texts.enumerated() {
      while credit == 0 { credit += try worker.expect(.credit).header.aux }
      credit -= 1
      try worker.send(FrameHeader(kind: .item, id: id, aux: UInt32(place)), payload: Array(text.utf8))
    }
  }

  /// The worker takes so many more arguments.
  func credit(_ items: UInt32) throws {
    try worker.send(FrameHeader(kind: .credit, id: id, aux: items))
  }

  /// The worker answers.
  func complete(_ text: String, status: Status = .ok) throws {
    try worker.complete(id, status: status, payload: Array(text.utf8))
  }
}
