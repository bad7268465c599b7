import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// `hostcall call --fd` and what a served command gets of it, as processes.
@Suite("hostcall and open files, as a process")
struct CommandLineDescriptorTests {
  @Test func aServedCommandReadsWhatTheCallerHasOpened() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve(
      "read", script: "echo \"fds $HOSTCALL_FDS\"; if [ \"$HOSTCALL_FDS\" ]; then cat <&3; cat <&4; fi")
    let (first, second) = (daemon.folder + "/first", daemon.folder + "/second")
    Files.write("one\n".utf8, to: first)
    Files.write("two\n".utf8, to: second)
    let outcome = try daemon.hostcall(["call", "read", "--fd", first, "--fd", second])
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.text == "fds 2\none\ntwo\n")
    let streamed = try daemon.hostcall(["call", "read", "--stream", "--fd", second, "--fd", first])
    #expect(streamed.text == "fds 2\ntwo\none\n", "\(streamed.errors)")
    #expect(try daemon.hostcall(["call", "read"]).text == "fds \n")
    #expect(served.command.child.isRunning)
  }

  @Test func manyAreGivenInOrderAndNoneIsLeft() throws {
    let daemon = try DaemonProcess()
    let served = try daemon.serve(
      "read", script: "for n in $(seq 3 $((HOSTCALL_FDS + 2))); do cat </proc/self/fd/$n; done")
    let before = Files.count(in: "/proc/\(served.command.child.processID)/fd")
    let arguments = (0..<16).flatMap { number -> [String] in
      Files.write("\(number) ".utf8, to: daemon.folder + "/\(number)")
      return ["--fd", daemon.folder + "/\(number)"]
    }
    let expected = (0..<16).map { "\($0) " }.joined()
    for _ in 0..<10 { #expect(try daemon.hostcall(["call", "read"] + arguments).text == expected) }
    try eventually("they are closed in serve") {
      Files.count(in: "/proc/\(served.command.child.processID)/fd") == before
    }
  }

  @Test func filesGoWithACallWithoutReplyAndToAWorkerOfItsOwn() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath, features: ["descriptors"])
    try worker.register("note")
    let outcome = try daemon.hostcall(["call", "note", "--no-reply", "--fd", "/etc/hostname"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let invoke = try worker.expect(.invoke)
    #expect(invoke.header.flags.contains(.descriptors))
    #expect(invoke.metadata["descriptors"] == "1")
  }

  @Test func aFileThatCannotBeOpenedIs66AndAWorkerThatTakesNoneIs5() throws {
    let daemon = try DaemonProcess()
    let missing = try daemon.hostcall(["call", "x", "--fd", "/no/such"])
    #expect(missing.status == 66)
    #expect(missing.errors == "hostcall: cannot open /no/such: no such file or directory\n")
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("plain")
    let refused = try daemon.hostcall(["call", "plain", "--fd", "/dev/null"])
    #expect(refused.status == 5)
    #expect(refused.errors.contains("plain: INVALID_ARGUMENT from the daemon"), "\(refused.errors)")
  }
}
