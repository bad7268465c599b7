import Glibc
import HostcallFunctions
import HostcallTestSupport
import HostcallWire
import Testing

@testable import HostcallClient

/// Open files that go with calls and results.
@Suite(.timeLimit(.minutes(1))) struct DescriptorTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  /// A frame with descriptors, and how many of them its metadata says.
  private func frame(_ header: FrameHeader, count: String = "1", _ text: String = "") -> [UInt8] {
    FrameEncoder.encode(header, metadata: ["descriptors": count, "k": "v"], payload: Array(text.utf8))
  }

  private func result(_ call: ReceivedFrame) -> FrameHeader {
    FrameHeader(kind: .result, flags: [.descriptors, .fromWorker], id: call.header.id)
  }

  // MARK: Calling

  @Test func aCallPassesDuplicatesAndTheCallerKeepsItsOwn() async throws {
    let (client, peer) = try await daemon.connect()
    let files = [UnnamedFile("first"), UnnamedFile("second")]
    async let response = client.call("sha256", "x", metadata: ["k": "v"], descriptors: files.map(\.descriptor))
    let call = try await peer.expect(.call)
    #expect(call.header.flags == .descriptors)
    #expect(call.metadata == ["k": "v", "descriptors": "2"])
    #expect(call.descriptors.withNumbers { $0.map(UnnamedFile.text) } == ["first", "second"])
    peer.answer(call)
    #expect(try await response.descriptors.isEmpty)
    #expect(UnnamedFile.text(of: files[0].descriptor) == "first")
  }

  @Test func aPipeIsLetGoOfOnceItHasLeft() async throws {
    let (client, peer) = try await daemon.connect()
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let (end, ownEnd) = (ends[0], ends[1])
    async let response = client.call("write", descriptors: [ownEnd])
    let call = try await peer.expect(.call)
    close(ownEnd)
    let passed = try #require(call.descriptors.take())
    #expect(write(passed, "hello", 5) == 5)
    close(passed)
    // The end comes while the call is still under way.
    let count = await withCheckedContinuation { continuation in
      onThread {
        var bytes = [UInt8](repeating: 0, count: 100)
        var total = 0
        while case let count = read(end, &bytes, bytes.count), count > 0 { total += count }
        continuation.resume(returning: total)
      }
    }
    #expect(count == 5)
    close(end)
    peer.answer(call)
    _ = try await response
  }

  @Test func aResultBringsSome() async throws {
    let (client, peer) = try await daemon.connect()
    let file = UnnamedFile("the result")
    do {
      async let response = client.call("open")
      let call = try await peer.expect(.call)
      peer.send(frame(result(call), "done"), descriptors: [file.descriptor])
      let got = try await response
      #expect(got.text == "done")
      #expect(got.metadata == ["k": "v"])
      #expect(got.descriptors.count == 1)
      let taken = try #require(got.descriptors.take())
      #expect(got.descriptors.take() == nil)
      #expect(UnnamedFile.text(of: taken) == "the result")
      close(taken)
    }
    #expect(await file.isAlone())
  }

  @Test func streamsAndCallsWithoutReplyPassThemToo() async throws {
    let (client, peer) = try await daemon.connect()
    let file = UnnamedFile("x")
    try await client.send("f", descriptors: [file.descriptor])
    #expect(try await peer.expect(.call).descriptors.count == 1)
    let stream = client.stream("f", descriptors: [file.descriptor])
    let call = try await peer.expect(.call)
    #expect(call.descriptors.count == 1)
    peer.send(frame(result(call)), descriptors: [file.descriptor])
    #expect(try await stream.response.descriptors.count == 1)
  }

  @Test func whatCannotBePassedIsRefusedHere() async throws {
    let (client, peer) = try await daemon.connect()
    let file = UnnamedFile()
    for numbers in [
      Array(repeating: file.descriptor, count: 17), [file.descriptor, -1], [file.descriptor, 1_000_000],
    ] {
      let error = try await failure { () async throws(HostcallError) in
        try await client.call("f", descriptors: numbers)
      }
      #expect(error.code == .invalidArgument)
      #expect(error.function == "f")
      let streamed = try await failure { () async throws(HostcallError) in
        try await client.stream("f", descriptors: numbers).response
      }
      #expect(streamed.code == .invalidArgument)
    }
    let key = try await failure { () async throws(HostcallError) in
      try await client.call("f", metadata: ["descriptors": "7"], descriptors: [file.descriptor])
    }
    #expect(key.code == .invalidArgument)
    try await peer.barrier()
    #expect(await file.isAlone())
  }

  @Test func anOlderDaemonIsNotAsked() async throws {
    let (client, peer) = try await daemon.connect(features: "streams,events")
    let file = UnnamedFile()
    let error = try await failure { () async throws(HostcallError) in
      try await client.call("f", descriptors: [file.descriptor])
    }
    #expect(error.status == .unavailable)
    async let registration = client.register("g") { _ in
      HostcallReply(descriptors: try HostcallDescriptors(duplicating: [file.descriptor]))
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(5, handle: 1)
    let complete = try await peer.expect(.complete)
    #expect(complete.header.status == .failed)
    #expect(complete.text.contains("has no descriptors"))
    #expect(await file.isAlone())
    await client.close()
  }

  // MARK: Serving

  @Test func aHandlerGetsSomeAndAnswersWithSome() async throws {
    let (client, peer) = try await daemon.connect()
    let (file, answer) = (UnnamedFile("asked"), UnnamedFile("answered"))
    async let registration = client.register("f") { request in
      #expect(request.metadata == ["k": "v"])
      let text = request.descriptors.withNumbers { $0.map(UnnamedFile.text).joined() }
      return HostcallReply(
        text, metadata: ["a": "b"], descriptors: try HostcallDescriptors(duplicating: [answer.descriptor]))
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    let invoke = FrameHeader(
      kind: .invoke, flags: .descriptors, id: 5, function: 1, timeoutMilliseconds: 30_000)
    peer.send(frame(invoke), descriptors: [file.descriptor])
    let complete = try await peer.expect(.complete)
    #expect(complete.text == "asked")
    #expect(complete.header.flags == .descriptors)
    #expect(complete.metadata == ["a": "b", "descriptors": "1"])
    #expect(complete.descriptors.withNumbers { $0.map(UnnamedFile.text) } == ["answered"])
    #expect(await file.isAlone())
    await client.close()
  }

  @Test func whatCameCanBeSentBackAsItIs() async throws {
    let (client, peer) = try await daemon.connect()
    let file = UnnamedFile("there and back")
    async let registration = client.register("f") { request in HostcallReply(descriptors: request.descriptors) }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    let invoke = FrameHeader(kind: .invoke, flags: .descriptors, id: 5, function: 1, timeoutMilliseconds: 30_000)
    peer.send(frame(invoke), descriptors: [file.descriptor])
    do {
      let complete = try await peer.expect(.complete)
      #expect(complete.descriptors.withNumbers { $0.map(UnnamedFile.text) } == ["there and back"])
    }
    #expect(await file.isAlone())
    await client.close()
  }

  // MARK: Frames

  @Test func aFrameInPiecesAndManyAtOnceGetTheirOwn() async throws {
    let (client, peer) = try await daemon.connect()
    let files = (0..<40).map { UnnamedFile("file \($0)") }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in files {
        group.addTask {
          let response = try await client.call("open")
          #expect(response.descriptors.withNumbers { $0.map(UnnamedFile.text) } == [response.text])
        }
      }
      var calls: [ReceivedFrame] = []
      for _ in files { calls.append(try await peer.expect(.call)) }
      for (index, (file, call)) in zip(files, calls).enumerated() {
        let bytes = frame(result(call), "file \(index)") + FrameEncoder.encode(FrameHeader(kind: .ping, id: 9))
        let cut = 1 + index * (bytes.count - 1) / files.count
        peer.send(Array(bytes[..<cut]), descriptors: [file.descriptor])
        if index % 2 == 0 { try await Self.settle(client) }
        peer.send(Array(bytes[cut...]))
        try await peer.expect(.pong)
      }
      try await group.waitForAll()
    }
    for file in files { #expect(await file.isAlone()) }
  }

  /// Lets the client's loop take what has come.
  private static func settle(_ client: HostcallClient) async throws {
    for _ in 0..<3 { _ = await client.serverInformation }
  }

  /// Bytes with descriptors that no daemon may send, with what it is told, and how many descriptors go along.
  static let broken: [(reason: String, count: Int, bytes: @Sendable (UInt64) -> [UInt8])] = [
    (
      "RESULT says DESCRIPTORS and brought none", 0,
      { FrameEncoder.encode(FrameHeader(kind: .result, flags: .descriptors, id: $0), metadata: ["descriptors": "1"]) }
    ),
    (
      "RESULT says 2 descriptors and brought 1", 1,
      { FrameEncoder.encode(FrameHeader(kind: .result, flags: .descriptors, id: $0), metadata: ["descriptors": "2"]) }
    ),
    (
      "RESULT says DESCRIPTORS and not how many", 1,
      { FrameEncoder.encode(FrameHeader(kind: .result, flags: .descriptors, id: $0)) }
    ),
    (
      "RESULT says DESCRIPTORS and not how many", 17,
      { FrameEncoder.encode(FrameHeader(kind: .result, flags: .descriptors, id: $0), metadata: ["descriptors": "17"]) }
    ),
    (
      "descriptors came without a frame that has the flag DESCRIPTORS", 1,
      { FrameEncoder.encode(FrameHeader(kind: .result, id: $0)) }
    ),
    (
      "descriptors came without a frame that has the flag DESCRIPTORS", 1,
      { _ in FrameEncoder.encode(FrameHeader(kind: .pong, id: 1)) }
    ),
  ]

  @Test(arguments: broken.indices)
  func whatDoesNotMatchEndsTheConnectionAndIsClosed(_ index: Int) async throws {
    let (reason, count, bytes) = Self.broken[index]
    let (client, peer) = try await daemon.connect()
    let file = UnnamedFile()
    async let error = failure { () async throws(HostcallError) in try await client.call("f") }
    let call = try await peer.expect(.call)
    let frame = bytes(call.header.id)
    if count == 0 {
      peer.send(frame)
    } else {
      peer.send(frame, descriptors: Array(repeating: file.descriptor, count: count))
    }
    #expect(try await peer.expect(.goaway).text == reason)
    _ = try? await error
    #expect(await file.isAlone())
  }

  @Test func aFrameThatBeganWithoutTheFlagCannotGetThem() async throws {
    let (client, peer) = try await daemon.connect()
    let file = UnnamedFile()
    let pong = FrameEncoder.encode(FrameHeader(kind: .pong, id: 1))
    peer.send(Array(pong[..<10]), descriptors: [file.descriptor])
    for _ in 0..<3 { _ = await client.serverInformation }
    peer.send(Array(pong[10...]))
    let reason = try await peer.expect(.goaway).text
    #expect(
      [
        "PONG without the flag DESCRIPTORS brought descriptors",
        "descriptors came without a frame that has the flag DESCRIPTORS",
      ].contains(reason))
    #expect(await file.isAlone())
  }

  @Test func aTooLargeFrameClosesThem() async throws {
    let (client, peer) = try await daemon.connect { $0.largestFrameBytes = 1_000 }
    let file = UnnamedFile()
    async let error = failure { () async throws(HostcallError) in try await client.call("f") }
    let call = try await peer.expect(.call)
    peer.send(frame(result(call), String(repeating: "x", count: 2_000)), descriptors: [file.descriptor])
    #expect(try await error.status == .tooLarge)
    try await peer.barrier()
    #expect(await file.isAlone())
  }

  // MARK: Ends

  @Test func thousandsOfEarlyEndsLeaveNothingOpen() async throws {
    let file = UnnamedFile("x")
    for round in 0..<40 {
      let (client, peer) = try await daemon.connect(largestBodyBytes: 1_000) { $0.reconnect = .never }
      let descriptors = Array(repeating: file.descriptor, count: 1 + round % 16)
      var pending: [Task<HostcallResponse?, Never>] = []
      for _ in 0..<25 {
        // No time is left, the task is cancelled, or it is too large: none of these leaves.
        _ = try? await client.call("f", timeout: .zero, descriptors: descriptors)
        _ = try? await client.call("f", [UInt8](repeating: 0, count: 2_000), descriptors: descriptors)
        let task = Task { try? await client.call("f", descriptors: descriptors) }
        task.cancel()
        do { _ = client.stream("f", descriptors: descriptors) }
        pending += [task, Task { try? await client.call("f", descriptors: descriptors) }]
      }
      // Some are answered, with descriptors, just before the connection ends in the middle of a frame.
      while let frame = await peer.frames.next(), frame.kind == .call {
        peer.send(self.frame(result(frame), count: "\(descriptors.count)"), descriptors: descriptors)
        if round % 2 == 0 { break }
      }
      let header = FrameHeader(kind: .result, flags: .descriptors, id: 1 << 63 | 1)
      peer.send(Array(frame(header).prefix(20)), descriptors: descriptors)
      peer.hangUp()
      for task in pending { _ = await task.value }
      await client.close()
    }
    #expect(await file.isAlone())
  }
}
