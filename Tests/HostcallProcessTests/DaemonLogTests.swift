import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// A log that nobody reads, or that cannot be written, costs lines and nothing else.
@Suite("The log of hostcalld")
struct DaemonLogTests {
  private let folder = TemporaryFolder()

  /// Starts a daemon that logs much into a file of this kind; it is there when this returns.
  private func daemon(log: String, _ settings: String = "") throws -> ChildProcess {
    Files.write("[log]\nlevel = \"debug\"\n\(settings)".utf8, to: folder.file("hostcalld.toml"))
    let arguments = ["--socket", folder.file("s"), "--config", folder.file("hostcalld.toml")]
    let daemon = try ChildProcess("hostcalld", arguments, errors: log)
    try RawPeer.waiting(for: folder.file("s"), while: { daemon.isRunning }).barrier()
    return daemon
  }

  /// Makes it log two lines a peer, and sees that it goes on answering.
  private func makeNoise(peers: Int) throws {
    let witness = try RawPeer(folder.file("s"))
    for _ in 0..<peers {
      let peer = try RawPeer(folder.file("s"))
      try peer.barrier()
      peer.close()
      try witness.barrier()
    }
  }

  /// A pipe by name, with little room, that a daemon can open although nobody reads yet.
  private func pipe() throws -> (path: String, descriptor: Int32) {
    let path = folder.file("pipe")
    try #require(mkfifo(path, 0o600) == 0)
    let descriptor = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
    // F_SETPIPE_SZ, which does not reach Swift.
    try #require(descriptor >= 0 && fcntl(descriptor, 1_031, 4_096) == 4_096)
    return (path, descriptor)
  }

  /// What is in the pipe now.
  private func take(_ descriptor: Int32) -> String {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(descriptor, &piece, piece.count)
      if count <= 0 { break }
      bytes.append(contentsOf: piece[..<count])
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test func aReaderThatDoesNotReadHoldsNothingUpAndLearnsWhatItLost() throws {
    let (path, descriptor) = try pipe()
    defer { close(descriptor) }
    let daemon = try daemon(log: path, "queued-lines = 10\n")
    try makeNoise(peers: 300)
    // The daemon's first two lines, and two for each of 302 peers: every one of them is there or counted.
    var log = ""
    try eventually("all lines are told of") {
      log += take(descriptor)
      return told(log) == (606, true)
    }
    // Now everything gets through again.
    kill(daemon.processID, SIGTERM)
    try eventually("the last line is there") {
      log += take(descriptor)
      return log.hasSuffix("<6>stopped\n")
    }
    #expect(daemon.wait() == 0)
    #expect(told(log) == (608, true))
  }

  /// How many lines there are or were lost, and whether most were.
  private func told(_ log: String) -> (lines: Int, mostWereLost: Bool) {
    let lines = log[..<(log.lastIndex(of: "\n") ?? log.startIndex)].split(separator: "\n")
    let losses = lines.compactMap { $0.hasPrefix("<4>log lines lost lines=") ? Int($0.dropFirst(24)) : nil }
    let lost = losses.reduce(0, +)
    return (lines.count - losses.count + lost, lost > lines.count)
  }

  @Test func itStopsInItsTimeAlthoughNobodyReads() throws {
    let (path, descriptor) = try pipe()
    defer { close(descriptor) }
    let daemon = try daemon(log: path, "flush-milliseconds = 50\n")
    try makeNoise(peers: 100)
    #expect(daemon.stop() == 0)
    #expect(access(folder.file("s"), F_OK) != 0)
  }

  @Test func aFullDiskCostsTheLinesAlone() throws {
    let daemon = try daemon(log: "/dev/full")
    try makeNoise(peers: 100)
    #expect(daemon.stop() == 0)
  }

  @Test func aReaderThatHasGoneCostsTheLinesAlone() throws {
    let (path, descriptor) = try pipe()
    let daemon = try daemon(log: path)
    close(descriptor)
    try makeNoise(peers: 100)
    #expect(daemon.stop() == 0)
  }

  @Test func aClosedStandardErrorIsNoSocketsPlace() throws {
    let program = "\(ChildProcess.productsFolder)/hostcalld"
    let daemon = try ChildProcess(
      "/bin/sh", ["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", program, "--socket", folder.file("s")])
    try RawPeer.waiting(for: folder.file("s"), while: { daemon.isRunning }).barrier()
    for descriptor in 0...2 {
      let place = try FileManager.default.destinationOfSymbolicLink(
        atPath: "/proc/\(daemon.processID)/fd/\(descriptor)")
      #expect(place == "/dev/null")
    }
    try makeNoise(peers: 20)
    #expect(daemon.stop() == 0)
  }

  @Test func aLineThatIsTooLongIsCut() throws {
    let daemon = try daemon(log: folder.file("log"))
    let peer = try RawPeer(folder.file("s"), hello: false)
    try peer.send(FrameHeader(kind: .ping, id: 1), name: String(repeating: "x", count: 255))
    try peer.expectEnd()
    #expect(daemon.stop() == 0)
    let lines = daemon.standardError().split(separator: "\n")
    #expect(lines.allSatisfy { $0.utf8.count < 4_096 } && lines.last?.hasPrefix("<6>stopped") == true)
  }
}
