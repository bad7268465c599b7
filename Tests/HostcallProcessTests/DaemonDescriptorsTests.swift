import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// Open files that travel with calls and completions through a real daemon (protocol section 4, *Descriptors*).
@Suite("hostcalld and open files")
struct DaemonDescriptorsTests {
  private let folder = TemporaryFolder()

  /// A file with this text, open at its beginning and gone from its folder: nobody can open it by name.
  private func openFile(_ text: String) -> Int32 {
    let path = folder.file("file")
    Files.write(text.utf8, to: path)
    let file = open(path, O_RDONLY | O_CLOEXEC)
    unlink(path)
    return file
  }

  /// What an open file holds, from where it stands; closes it.
  private func read(_ file: Int32) -> String {
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = Foundation.read(file, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }

  private func peer(_ daemon: DaemonProcess) throws -> RawPeer {
    try RawPeer(daemon.socketPath, features: ["descriptors"])
  }

  private func call(
    _ peer: RawPeer, _ name: String, request: UInt64, flags: FrameFlags = [], timeoutMilliseconds: UInt32 = 0,
    _ texts: [String]
  ) throws {
    let files = texts.map(openFile)
    defer { for file in files { close(file) } }
    try peer.send(
      FrameHeader(kind: .call, flags: flags, id: request, timeoutMilliseconds: timeoutMilliseconds), name: name,
      payload: Array("\(texts.count)".utf8), descriptors: files)
  }

  private func openFiles(of daemon: DaemonProcess) -> Int { Files.count(in: "/proc/\(daemon.processID)/fd") }

  // MARK: Passing

  @Test func filesGoWithACallAndComeBackWithItsCompletionInOrder() throws {
    let daemon = try DaemonProcess()
    let (worker, caller) = (try peer(daemon), try peer(daemon))
    try worker.register("swap")
    let before = openFiles(of: daemon)
    try call(caller, "swap", request: 1, ["one", "two", "three"])
    let invoke = try worker.expect(.invoke)
    #expect(invoke.header.flags == .descriptors && invoke.metadata["descriptors"] == "3" && invoke.text == "3")
    #expect(worker.takeDescriptors().map(read) == ["one", "two", "three"])
    let answers = ["four", "five"].map(openFile)
    try worker.send(FrameHeader(kind: .complete, id: invoke.header.id), descriptors: answers)
    for file in answers { close(file) }
    let result = try caller.expect(.result)
    #expect(result.header.flags == [.descriptors, .fromWorker] && result.metadata["descriptors"] == "2")
    #expect(caller.takeDescriptors().map(read) == ["four", "five"])
    try eventually("the daemon keeps none") { openFiles(of: daemon) <= before }
  }

  @Test func filesStayWithTheirFrameHoweverItComes() throws {
    let daemon = try DaemonProcess()
    let (worker, caller) = (try peer(daemon), try peer(daemon))
    try worker.register("f", concurrency: 100)
    func bytes(_ number: Int, has descriptors: Bool) -> [UInt8] {
      FrameEncoder.encode(
        FrameHeader(kind: .call, flags: descriptors ? .descriptors : [], id: UInt64(number)), name: "f",
        metadata: descriptors ? ["descriptors": "1"] : [:], payload: Array("\(number)".utf8))
    }
    // Frames with and without files, cut anywhere but at the byte that the file comes with.
    for number in 1...60 {
      let hasFile = number % 3 != 0
      var pieces = [bytes(number, has: hasFile)]
      if number % 4 == 1 { pieces = pieces[0].map { [$0] } }
      if number % 4 == 2 { pieces = [Array(pieces[0][..<20]), Array(pieces[0][20...])] }
      if number % 4 == 3, number < 60 { pieces = [bytes(1_000 + number, has: false) + pieces[0]] }
      if hasFile, number % 4 != 3 {
        let file = openFile("\(number)")
        try caller.send(pieces.removeFirst(), descriptors: [file])
        close(file)
      } else if hasFile {
        // The frame in front goes by itself: a file comes with the first byte of its own.
        try caller.send(bytes(1_000 + number, has: false))
        let file = openFile("\(number)")
        try caller.send(bytes(number, has: true), descriptors: [file])
        close(file)
        pieces = []
      }
      for piece in pieces { try caller.send(piece) }
    }
    var seen = 0
    while seen < 60 {
      let invoke = try worker.expect(.invoke)
      try worker.complete(invoke.header.id)
      guard let number = Int(invoke.text), number < 1_000 else { continue }
      seen += 1
      let files = worker.takeDescriptors().map(read)
      #expect(files == (number % 3 != 0 ? ["\(number)"] : []), "frame \(number)")
    }
  }

  @Test func aCallThatWaitsKeepsItsFiles() throws {
    let daemon = try DaemonProcess()
    let caller = try peer(daemon)
    try call(caller, "late", request: 1, flags: .wait, ["kept"])
    try caller.barrier()
    let worker = try peer(daemon)
    try worker.register("late")
    #expect(try worker.expect(.invoke).text == "1")
    #expect(worker.takeDescriptors().map(read) == ["kept"])
  }

  @Test func aCallThatIsSentAgainTakesItsFilesAlong() throws {
    let daemon = try DaemonProcess()
    let caller = try peer(daemon)
    let first = try peer(daemon)
    try first.register("again")
    try call(caller, "again", request: 1, flags: [.idempotent, .wait], ["same"])
    try first.expect(.invoke)
    first.close()
    let second = try peer(daemon)
    try second.register("again")
    let invoke = try second.expect(.invoke)
    #expect(second.takeDescriptors().map(read) == ["same"])
    try second.complete(invoke.header.id)
    #expect(try caller.expect(.result).header.status == .ok)
  }

  // MARK: Who takes none

  @Test func aWorkerWithoutTheFeatureEndsTheCall() throws {
    let daemon = try DaemonProcess()
    let plain = try RawPeer(daemon.socketPath)
    try plain.register("plain")
    let caller = try peer(daemon)
    try call(caller, "plain", request: 1, ["x"])
    let result = try caller.expect(.result)
    #expect(result.header.status == .invalidArgument && result.text.contains("its worker takes none"))
    try call(caller, "hostcall.echo", request: 2, ["x"])
    #expect(try caller.expect(.result).header.status == .invalidArgument)
  }

  @Test func aCallerWithoutTheFeatureIsToldOfAResultWithFiles() throws {
    let daemon = try DaemonProcess()
    let worker = try peer(daemon)
    try worker.register("gives")
    let plain = try RawPeer(daemon.socketPath)
    try plain.call("gives", request: 1)
    let invoke = try worker.expect(.invoke)
    let file = openFile("x")
    try worker.send(FrameHeader(kind: .complete, id: invoke.header.id), descriptors: [file])
    close(file)
    let result = try plain.expect(.result)
    #expect(result.header.status == .unknown && result.text.contains("this connection takes none"))
    #expect(result.header.flags.isEmpty && plain.takeDescriptors().isEmpty)
  }

  // MARK: What breaks the protocol

  /// Each sends something wrong with one open file.
  private static let violations: [(what: String, text: String, send: @Sendable (RawPeer, Int32) throws -> Void)] = [
    (
      "a file with a frame that does not say so", "has not the flag DESCRIPTORS",
      { peer, file in try peer.send(FrameEncoder.encode(FrameHeader(kind: .ping, id: 1)), descriptors: [file]) }
    ),
    (
      "the same, byte by byte", "without the flag DESCRIPTORS",
      { peer, file in
        let bytes = FrameEncoder.encode(FrameHeader(kind: .ping, id: 1))
        try peer.send([bytes[0]], descriptors: [file])
        try peer.send(Array(bytes[1...]))
      }
    ),
    (
      "files in the middle of a frame", "in the middle of a frame",
      { peer, file in
        let bytes = FrameEncoder.encode(FrameHeader(kind: .ping, id: 1))
        for byte in bytes { try peer.send([byte], descriptors: [file]) }
      }
    ),
    (
      "the flag without a file", "says that it has 1 descriptors, and 0 came",
      { peer, _ in
        try peer.send(
          FrameHeader(kind: .call, flags: .descriptors, id: 1), name: "f", metadata: ["descriptors": "1"])
      }
    ),
    (
      "a number that is not that of the files", "says that it has 2 descriptors, and 1 came",
      { peer, file in
        let header = FrameHeader(kind: .call, flags: .descriptors, id: 1)
        try peer.send(
          FrameEncoder.encode(header, name: "f", metadata: ["descriptors": "2"]), descriptors: [file])
      }
    ),
    (
      "no number", "no number of them",
      { peer, file in
        try peer.send(
          FrameEncoder.encode(FrameHeader(kind: .call, flags: .descriptors, id: 1), name: "f"), descriptors: [file])
      }
    ),
    (
      "more than may be", "from 1 to 16",
      { peer, file in
        try peer.send(
          FrameHeader(kind: .call, id: 1), name: "f", descriptors: Array(repeating: file, count: 17))
      }
    ),
  ]

  @Test(arguments: violations.indices)
  func whatBreaksTheProtocolEndsThatConnectionAndLeavesNothingOpen(_ index: Int) throws {
    let daemon = try DaemonProcess()
    let violation = Self.violations[index]
    let before = openFiles(of: daemon)
    let peer = try peer(daemon)
    let file = openFile("x")
    defer { close(file) }
    // The daemon may be done with the peer before the peer is.
    try? violation.send(peer, file)
    var frame = try peer.next()
    // What was in order before it is answered.
    while frame?.kind == .pong { frame = try peer.next() }
    let goaway = try #require(frame)
    #expect(goaway.kind == .goaway && goaway.header.status == .protocolViolation)
    #expect(goaway.text.contains(violation.text), "\(goaway.text)")
    peer.close()
    try eventually("\(violation.what): all is closed") { openFiles(of: daemon) <= before }
  }

  @Test func theFlagWithoutTheFeatureBreaksTheProtocol() throws {
    let daemon = try DaemonProcess()
    let plain = try RawPeer(daemon.socketPath)
    try call(plain, "f", request: 1, ["x"])
    #expect(try plain.expect(.goaway).text.contains("was not agreed upon"))
  }

  // MARK: Ends

  @Test func thousandsOfEarlyEndsLeaveNoFileOpen() throws {
    let daemon = try DaemonProcess()
    let witness = try peer(daemon)
    try witness.register("held", concurrency: 1)
    let before = openFiles(of: daemon)
    for round in 1...1_500 {
      let caller = try peer(daemon)
      let file = openFile("x")
      defer { close(file) }
      let call = FrameEncoder.encode(
        FrameHeader(
          kind: .call, flags: round % 2 == 0 ? [.descriptors, .wait] : .descriptors, id: 1,
          timeoutMilliseconds: UInt32(1 + round % 5)), name: round % 3 == 0 ? "nobody" : "held",
        metadata: ["descriptors": "1"], payload: Array(repeating: 7, count: round % 700))
      // Some frames never come whole.
      let count = round % 5 == 0 ? max(1, round % call.count) : call.count
      try caller.send(Array(call[..<count]), descriptors: [file])
      if round % 7 == 0, count == call.count { try caller.barrierOrEnd() }
      caller.close()
      for file in witness.takeDescriptors() { close(file) }
    }
    try witness.send(FrameHeader(kind: .unregister, id: 5, function: 1))
    try eventually("all is closed") {
      try witness.barrierPassingOver()
      for file in witness.takeDescriptors() { close(file) }
      return openFiles(of: daemon) <= before
    }
  }

  @Test func aUserMayHaveSoManyFilesOnTheirWay() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\ndescriptors-per-user = 4\n")
    let caller = try peer(daemon)
    try call(caller, "later", request: 1, flags: .wait, ["a", "b", "c"])
    try call(caller, "later", request: 2, flags: .wait, ["d", "e"])
    let refused = try caller.expect(.result)
    #expect(refused.header.id == 2 && refused.header.status == .overloaded)
    #expect(refused.text.contains("4 open files on their way") && refused.text.hasSuffix("(descriptors-per-user)"))
    try caller.send(FrameHeader(kind: .cancel, id: 1))
    #expect(try caller.expect(.result).header.status == .cancelled)
    try call(caller, "later", request: 3, flags: .wait, ["f", "g", "h", "i"])
    let worker = try peer(daemon)
    try worker.register("later")
    try worker.expect(.invoke)
    #expect(worker.takeDescriptors().map(read) == ["f", "g", "h", "i"])
  }
}

extension RawPeer {
  /// A barrier where the daemon may have ended the connection, or answers may come before.
  fileprivate func barrierOrEnd() throws {
    try? send(FrameHeader(kind: .ping, id: 0xbabe))
    while let frame = try? next(), frame.kind != .pong {}
  }

  /// A barrier that calls may come before.
  fileprivate func barrierPassingOver() throws {
    try send(FrameHeader(kind: .ping, id: 0xbabe))
    while let frame = try next(), frame.kind != .pong {}
  }
}
