import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// `hostcall call --stream` and `--items` as processes.
@Suite("hostcall and streams, as a process")
struct CommandLineStreamTests {
  /// Sends items as far as the caller's credit goes, and waits for more.
  private func send(_ texts: [String], to invoke: RawPeer.Received, by worker: RawPeer) throws {
    var credit = invoke.header.aux
    for (place, text) in texts.enumerated() {
      while credit == 0 { credit += try worker.expect(.credit).header.aux }
      credit -= 1
      try worker.send(FrameHeader(kind: .item, id: invoke.header.id, aux: UInt32(place)), payload: Array(text.utf8))
    }
  }

  @Test func eachItemIsALineAndTheResultFollows() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("numbers")
    let call = try daemon.start(["call", "numbers", "--stream"])
    let invoke = try worker.expect(.invoke)
    try send(["one", "two\n", ""], to: invoke, by: worker)
    // It is written when it comes, not at the end.
    try eventually("the items are written") { call.output == "one\ntwo\n\n" }
    try worker.complete(invoke.header.id, payload: Array("done".utf8))
    #expect(call.child.wait() == 0)
    #expect(call.output == "one\ntwo\n\ndone\n")
    #expect(call.errors == "")
  }

  @Test func anEmptyResultIsNoLine() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("numbers")
    let call = try daemon.start(["call", "numbers", "--stream"])
    let invoke = try worker.expect(.invoke)
    let texts = (0..<5_000).map { "\($0)" }
    try send(texts, to: invoke, by: worker)
    try worker.complete(invoke.header.id)
    #expect(call.child.wait() == 0)
    #expect(call.output == texts.map { $0 + "\n" }.joined())
  }

  @Test func rawItemsAreWrittenAsTheyCame() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("numbers")
    let call = try daemon.start(["call", "numbers", "--stream", "--raw"])
    let invoke = try worker.expect(.invoke)
    try send(["one", "two", "\n"], to: invoke, by: worker)
    try worker.complete(invoke.header.id, payload: Array("end".utf8))
    #expect(call.child.wait() == 0)
    #expect(call.output == "onetwo\nend")
  }

  @Test func aFailureAfterItemsKeepsThemAndIs1() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("numbers")
    let call = try daemon.start(["call", "numbers", "--stream"])
    let invoke = try worker.expect(.invoke)
    try send(["one"], to: invoke, by: worker)
    try worker.complete(invoke.header.id, status: .failed, payload: Array("no more".utf8))
    #expect(call.child.wait() == 1)
    #expect(call.output == "one\n")
    #expect(call.errors == "hostcall: numbers: FAILED from the worker: no more (call \(invoke.header.id))\n")
  }

  @Test func anInterruptCancelsTheStreamAtItsWorker() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("numbers")
    let call = try daemon.start(["call", "numbers", "--stream"])
    let invoke = try worker.expect(.invoke)
    try send(["one"], to: invoke, by: worker)
    try eventually("the item is written") { call.output == "one\n" }
    call.signal(SIGINT)
    var frame = try #require(try worker.next())
    while frame.kind == .credit { frame = try #require(try worker.next()) }
    #expect(frame.kind == .cancel)
    #expect(call.child.wait() == 128 + SIGINT)
  }

  @Test func aReaderThatHasEnoughEndsTheStream() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("numbers")
    let (status, closed) = (daemon.folder + "/status", daemon.folder + "/closed")
    let reading = try StartedCommand(
      daemon,
      shell: "{ \"$HOSTCALL\" call numbers --stream; echo $? >\(status); } | { head -n 2; exec <&-; : >\(closed); }")
    let invoke = try worker.expect(.invoke)
    try send(["one", "two"], to: invoke, by: worker)
    try eventually("nothing is read any more") { FileManager.default.fileExists(atPath: closed) }
    #expect(reading.output == "one\ntwo\n")
    // Which shows with the next one.
    try worker.send(FrameHeader(kind: .item, id: invoke.header.id, aux: 2), payload: Array("three".utf8))
    #expect(reading.child.wait() == 0)
    #expect(String(decoding: Files.read(status), as: UTF8.self) == "141\n")
    #expect(reading.errors == "")
  }

  @Test func linesOfStandardInputAreArguments() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("sum")
    let call = try StartedCommand(daemon, shell: "printf 'one\\ntwo\\n' | \"$HOSTCALL\" call sum start --items -")
    let invoke = try worker.expect(.invoke)
    #expect(invoke.header.flags.contains(.open))
    #expect(invoke.text == "start")
    try worker.send(FrameHeader(kind: .credit, id: invoke.header.id, aux: 1))
    #expect(try worker.expect(.item).text == "one")
    try worker.send(FrameHeader(kind: .credit, id: invoke.header.id, aux: 1))
    #expect(try worker.expect(.item).text == "two")
    #expect(try worker.expect(.item).header.flags == .last)
    try worker.complete(invoke.header.id, payload: Array("2".utf8))
    #expect(call.child.wait() == 0)
    #expect(call.output == "2")
  }

  @Test func aWorkerThatHasEnoughEndsTheCallWhileTheInputIsOpen() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("first")
    let call = try StartedCommand(daemon, shell: "yes | \"$HOSTCALL\" call first --items - --stream")
    let invoke = try worker.expect(.invoke)
    try worker.send(FrameHeader(kind: .credit, id: invoke.header.id, aux: 3))
    for _ in 0..<3 { #expect(try worker.expect(.item).text == "y") }
    try worker.complete(invoke.header.id, payload: Array("enough".utf8))
    #expect(call.child.wait() == 0)
    #expect(call.output == "enough\n")
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

/// `hostcall publish` and `hostcall watch` as processes.
@Suite("hostcall and events, as a process")
struct CommandLineEventTests {
  @Test func whatIsPublishedIsWatched() throws {
    let daemon = try DaemonProcess()
    #expect(try daemon.hostcall(["publish", "door.opened"]).errors == "hostcall: 0 subscribers\n")
    let watch = try daemon.start(["watch", "door.*", "--count", "3"])
    try eventually("it watches") { watch.errors == "hostcall: watching door.* at \(daemon.socketPath)\n" }
    let outcome = try daemon.hostcall(["publish", "door.opened", "front"])
    #expect(outcome.status == 0)
    #expect(outcome.output == [])
    #expect(outcome.errors == "hostcall: 1 subscriber\n")
    #expect(try daemon.hostcall(["publish", "window.opened", "--json"]).text == "{\"subscribers\":0}\n")
    #expect(try daemon.hostcall(["publish", "door.closed", "-"], input: Array("a\nb".utf8)).status == 0)
    #expect(try daemon.hostcall(["publish", "door.locked"]).status == 0)
    #expect(watch.child.wait() == 0)
    #expect(watch.output == "door.opened front\ndoor.closed a | b\ndoor.locked\n")
  }

  @Test func scriptsGetEverythingAsJSON() throws {
    let daemon = try DaemonProcess()
    let watch = try daemon.start(["watch", "*", "--json"])
    try eventually("it watches") { watch.errors.contains("watching") }
    let arguments = ["publish", "door.opened", "{}", "--encoding", "json", "--meta", "by=me"]
    #expect(try daemon.hostcall(arguments).status == 0)
    try eventually("the event comes") { watch.output.contains("door.opened") }
    let line = try #require(watch.output.split(separator: "\n").first { $0.contains("door.opened") })
    #expect(line.contains(#""encoding":"json","followsGap":false,"metadata":{"by":"me"},"name":"door.opened","#))
    #expect(line.contains(#""payload":"{}","#))
    // It goes on until it is told to end.
    watch.signal(SIGINT)
    #expect(watch.child.wait() == 128 + SIGINT)
  }

  @Test func aWatchOutlivesItsDaemonAndSaysSo() throws {
    let folder = TemporaryFolder()
    var daemon = try DaemonProcess(in: folder)
    let watch = try daemon.start(["watch", "door.*", "--count", "1"])
    try eventually("it watches") { watch.errors.contains("watching") }
    daemon.stop(signal: SIGKILL)
    try eventually("the loss is told") { watch.errors.contains("; connecting again\n") }
    daemon = try DaemonProcess(in: folder)
    try eventually("it is told") { watch.errors.contains("hostcall: connected again; watching door.*\n") }
    try eventually("somebody watches") {
      try daemon.hostcall(["publish", "door.opened", "x"]).errors == "hostcall: 1 subscriber\n"
    }
    #expect(watch.child.wait() == 0)
    #expect(watch.output == "door.opened x\n")
    #expect(watch.errors.contains("hostcall: events may be missing: the connection was lost\n"))
  }

  @Test func aWatchThatIsNotReadSaysWhatIsLost() throws {
    let daemon = try DaemonProcess()
    let go = daemon.folder + "/go"
    #expect(mkfifo(go, 0o600) == 0)
    let watch = try StartedCommand(
      daemon, shell: "\"$HOSTCALL\" watch a --count 5000 | { read go <\(go); wc -l; }")
    try eventually("it watches") { watch.errors.contains("watching") }
    let publisher = try RawPeer(daemon.socketPath)
    let payload = [UInt8](repeating: UInt8(ascii: "x"), count: 1_000)
    for _ in 0..<20_000 { try publisher.send(FrameHeader(kind: .publish), name: "a", payload: payload) }
    try publisher.barrier()
    Files.write("go\n".utf8, to: go)
    // So many are lost that it would wait for ever for all of them.
    try eventually("the loss is told") {
      try publisher.send(FrameHeader(kind: .publish), name: "a")
      return watch.errors.contains("events were dropped: they are read too slowly")
    }
    while watch.child.isRunning { try publisher.send(FrameHeader(kind: .publish), name: "a") }
    #expect(watch.output == "5000\n")
  }
}
