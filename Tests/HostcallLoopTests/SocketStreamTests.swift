import Glibc
import HostcallLoop
import HostcallTestSupport
import Testing

@Suite("SocketStream", .timeLimit(.minutes(1)))
struct SocketStreamTests {
  /// Reads once into a buffer of its own.
  static func read(_ stream: SocketStream, limit: Int = 65_536) -> (ReadOutcome, [UInt8]) {
    var bytes = [UInt8](repeating: 0, count: limit)
    let outcome = bytes.withUnsafeMutableBytes { stream.read(into: $0) }
    guard case .bytes(let count) = outcome else { return (outcome, []) }
    return (outcome, Array(bytes.prefix(count)))
  }

  static func append(_ byteCount: Int, to stream: SocketStream) {
    stream.appendFrame(byteCount: byteCount) { $0.initializeMemory(as: UInt8.self, repeating: 1) }
  }

  @Test("10 MB in random frames and reads come back from an echo unchanged")
  func echoes() async throws {
    let loop = try EventLoop(threadName: "test")
    let gate = Gate()
    let sockets = try UnixSocket.pair()
    let exchange = LoopConfined<EchoExchange?>(loop, nil)
    let random = SeededGenerator(announcedFor: "SocketStream echo")
    try await loop.run {
      exchange.value = try EchoExchange(loop, sockets: sockets, byteCount: 10_000_000, random: random) { gate.open() }
    }
    await gate.wait()
    try await loop.run {
      #expect(exchange.value?.mismatches == 0)
      #expect(exchange.value?.receivedBytes == 10_000_000)
    }
    await loop.stop()
  }

  @Test("one flush sends no more than 256 KiB, however much the socket takes, and the rest goes turn by turn")
  func aFlushIsBounded() async throws {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    var roomy: Int32 = 1 << 20
    setsockopt(mine, SOL_SOCKET, SO_SNDBUF, &roomy, socklen_t(MemoryLayout<Int32>.size))
    let kept = LoopConfined<SocketStream?>(loop, nil)
    let writes = LoopConfined<[UInt64]>(loop, [])
    let drained = Gate()
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: mine)
      kept.value = stream
      stream.onWritable = {
        writes.value.append(stream.output.sentBytes)
        if stream.output.queuedBytes == 0 { drained.open() }
      }
      for _ in 0..<20 { Self.append(100_000, to: stream) }
      #expect(stream.flush() == .waiting)
      writes.value.append(stream.output.sentBytes)
    }
    let reader = Task.detached {
      var total = 0
      while total < 2_000_000 { total += receivePlainly(peers) ?? 2_000_000 }
    }
    await drained.wait()
    await reader.value
    try await loop.run {
      let sizes = zip(writes.value, [0] + writes.value).map { $0 - $1 }
      #expect(sizes.allSatisfy { $0 <= UInt64(SocketStream.maximumBytesPerFlush) } && sizes.count >= 8, "\(sizes)")
    }
    await loop.stop()
    Glibc.close(peers)
  }

  @Test("a peer that does not read makes the stream wait, and it drains when the peer reads again")
  func waitsForThePeer() async throws {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    let kept = LoopConfined<SocketStream?>(loop, nil)
    let drained = Gate()
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: mine)
      kept.value = stream
      stream.onWritable = { if stream.flush() == .drained { drained.open() } }
      for _ in 0..<100 { Self.append(60_000, to: stream) }
      #expect(stream.flush() == .waiting)
      #expect(stream.flush() == .waiting)
      #expect(stream.output.queuedBytes < 6_000_000)
    }
    let reader = Task.detached {
      var total = 0
      while total < 6_000_000 {
        total += receivePlainly(peers) ?? 6_000_000
        await Task.yield()
      }
      return total
    }
    await drained.wait()
    #expect(await reader.value == 6_000_000)
    try await loop.run {
      #expect(kept.value?.output.sentBytes == 6_000_000)
      #expect(loop.chunkPool.chunksInUse == 0)
      #expect(loop.chunkPool.spareCount == ChunkPool.maximumSpareChunks)
    }
    await loop.stop()
    Glibc.close(peers)
  }

  @Test("reading is off until started, and while paused")
  func readsOnlyWhenAsked() async throws {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    let kept = LoopConfined<SocketStream?>(loop, nil)
    let mayRead = LoopConfined(loop, false)
    let received = LoopConfined<[UInt8]>(loop, [])
    let first = Gate()
    let second = Gate()
    #expect(sendPlainly(peers, [1]) == 1)
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: mine)
      kept.value = stream
      stream.onReadable = {
        #expect(mayRead.value)
        received.value += Self.read(stream).1
        mayRead.value = false
        stream.pauseReading()
        #expect(sendPlainly(peers, [2]) == 1)
        received.value.count == 1 ? first.open() : second.open()
      }
      LoopTimer(loop) {
        mayRead.value = true
        stream.startReading()
      }.schedule(afterMilliseconds: 5)
    }
    await first.wait()
    try await loop.run {
      mayRead.value = true
      kept.value?.startReading()
    }
    await second.wait()
    #expect(try await loop.run { received.value } == [1, 2])
    await loop.stop()
    Glibc.close(peers)
  }

  @Test("the end of the stream is told once, and the other direction goes on")
  func endsHalf() async throws {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    let log = LoopConfined<[ReadOutcome]>(loop, [])
    let gate = Gate()
    #expect(sendPlainly(peers, [1, 2, 3]) == 3)
    shutdown(peers, Int32(SHUT_WR))
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: mine)
      stream.onReadable = {
        log.value.append(Self.read(stream).0)
        guard log.value.last == .endOfStream else { return }
        Self.append(10, to: stream)
        #expect(stream.flush() == .drained)
        LoopTimer(loop) { gate.open() }.schedule(afterMilliseconds: 5)
      }
      stream.startReading()
    }
    await gate.wait()
    #expect(try await loop.run { log.value } == [.bytes(3), .endOfStream])
    #expect(receivePlainly(peers) == 10)
    await loop.stop()
    Glibc.close(peers)
  }

  @Test("a peer that leaves without reading breaks reading and sending, and the loop does not spin")
  func isReset() async throws {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    let outcomes = LoopConfined<[ReadOutcome]>(loop, [])
    let flushes = LoopConfined<[FlushOutcome]>(loop, [])
    let turns = LoopConfined(loop, 0)
    let gate = Gate()
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: mine)
      stream.onReadable = { outcomes.value.append(Self.read(stream).0) }
      stream.onWritable = {
        flushes.value.append(stream.flush())
        guard flushes.value.count == 1 else { return }
        // Time for a second call or a spinning loop to show.
        LoopTimer(loop) {
          #expect(stream.flush() == .failed(EPIPE))
          gate.open()
        }.schedule(afterMilliseconds: 50)
      }
      stream.startReading()
      Self.append(4_000_000, to: stream)
      #expect(stream.flush() == .waiting)
      Glibc.close(peers)
      _ = LoopTurnHook(loop) { turns.value += 1 }
    }
    await gate.wait()
    #expect(try await loop.run { outcomes.value } == [.failed(ECONNRESET)])
    #expect(try await loop.run { flushes.value } == [.failed(EPIPE)])
    #expect(try await loop.run { turns.value } < 20)
    await loop.stop()
  }

  @Test("a peer's hang-up is told once while reading is paused, when asked for")
  func tellsOfHangUp() async throws {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    let calls = LoopConfined(loop, 0)
    let turns = LoopConfined(loop, 0)
    let gate = Gate()
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: mine)
      stream.onReadable = { Issue.record("readable while paused") }
      stream.onHangUpWhilePaused = {
        calls.value += 1
        guard calls.value == 1 else { return }
        // Time for a second call or a spinning loop to show.
        LoopTimer(loop) {
          #expect(Self.read(stream).1 == [1])
          #expect(Self.read(stream).0 == .endOfStream)
          gate.open()
        }.schedule(afterMilliseconds: 20)
      }
      #expect(sendPlainly(peers, [1]) == 1)
      Glibc.close(peers)
      _ = LoopTurnHook(loop) { turns.value += 1 }
    }
    await gate.wait()
    #expect(try await loop.run { calls.value } == 1)
    #expect(try await loop.run { turns.value } < 20)
    await loop.stop()
  }

  @Test("a stream closed in a callback calls back no more, and refuses everything")
  func closesInCallback() async throws {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    let calls = LoopConfined(loop, 0)
    let gate = Gate()
    #expect(sendPlainly(peers, [1, 2, 3]) == 3)
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: mine)
      stream.onReadable = {
        calls.value += 1
        stream.close()
        #expect(!stream.isOpen)
        #expect(Self.read(stream).0 == .failed(EBADF))
        #expect(stream.flush() == .failed(EBADF))
        #expect(throws: LoopError.self) { try stream.peerCredentials() }
        stream.startReading()
        LoopTimer(loop) { gate.open() }.schedule(afterMilliseconds: 5)
      }
      stream.onWritable = { Issue.record("writable after close") }
      stream.startReading()
      // Waits for writable too, so that both callbacks are due in the same turn.
      Self.append(4_000_000, to: stream)
      _ = stream.flush()
    }
    await gate.wait()
    #expect(try await loop.run { calls.value } == 1)
    #expect(try await loop.run { loop.chunkPool.chunksInUse } == 0)
    await loop.stop()
    #expect(await eventually { receivePlainly(peers) == nil })
    Glibc.close(peers)
  }

  @Test("the peer's credentials are those of this process, all its groups among them", arguments: [0, 1, 100])
  func knowsThePeer(groupCount: Int) async {
    await #expect(processExitsWith: .success) { [groupCount] in
      // Only root may choose its groups; anybody else has those that it has.
      let chosen = (0..<groupCount).map { gid_t(70_000 + $0) }
      precondition(setgroups(chosen.count, chosen) == 0 || errno == EPERM)
      var groups = [gid_t](repeating: 0, count: 65_536)
      groups.removeLast(groups.count - Int(getgroups(Int32(groups.count), &groups)))
      let loop = try EventLoop(threadName: "test")
      let (mine, peers) = try UnixSocket.pair()
      let credentials = try await loop.run { try SocketStream(loop, descriptor: mine).peerCredentials() }
      let wanted = PeerCredentials(userID: getuid(), groupID: getgid(), groupIDs: groups, processID: getpid())
      precondition(credentials == wanted, "\(credentials), and not \(wanted)")
      await loop.stop()
      Glibc.close(peers)
    }
  }

  @Test("descriptors that a peer sends uninvited are closed")
  func closesUninvitedDescriptors() async {
    await #expect(processExitsWith: .success) {
      let loop = try EventLoop(threadName: "test")
      let (mine, peers) = try UnixSocket.pair()
      let before = openDescriptorCount()
      let kept = try await loop.run {
        LoopConfined(loop, try SocketStream(loop, descriptor: mine))
      }
      for count in [1, 2, 3, 253] {
        for _ in 0..<20 {
          try await loop.run {
            #expect(send(peers, copies: count, of: peers) == 1)
            // The message before it, without descriptors, must not hide them; nor may a read of several bytes.
            #expect(sendPlainly(peers, [9]) == 1)
            while case .bytes = Self.read(kept.value).0 {}
          }
          // Over 5,000 are sent; the test library may open or close a few of its own meanwhile.
          #expect(await eventually { openDescriptorCount() < before + 20 })
        }
      }
      await loop.stop()
      Glibc.close(peers)
    }
  }

  @Test("a descriptor that cannot be polled stays the caller's")
  func refusesFiles() async throws {
    let loop = try EventLoop(threadName: "test")
    let file = open("/proc/self/exe", O_RDONLY)
    try await loop.run {
      let error = #expect(throws: LoopError.self) { try SocketStream(loop, descriptor: file) }
      #expect(error?.code == EPERM)
    }
    #expect(close(file) == 0)
    #expect(try await loop.run { loop.openHandleCount } == 0)
    await loop.stop()
  }
}
