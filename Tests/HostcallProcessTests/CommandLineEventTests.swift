import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

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
