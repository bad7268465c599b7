import Glibc
import HostcallTestSupport
import Testing

@testable import HostcallLoop

@Suite("SocketStream and descriptors", .timeLimit(.minutes(1)))
struct PassingDescriptorsTests {
  private static func append(_ byteCount: Int, tags: Range<UInt64>, to stream: SocketStream) {
    let descriptors = PassedDescriptors(takingOver: tags.map { TaggedFile.open($0) })
    stream.appendFrame(byteCount: byteCount, descriptors: descriptors) {
      $0.initializeMemory(as: UInt8.self, repeating: 2)
    }
  }

  private static func tags(_ descriptors: PassedDescriptors?) -> [UInt64?]? {
    descriptors?.numbers.map { TaggedFile.tag(of: $0) }
  }

  @Test("each batch comes with the first byte of its frame, whatever the sizes, reads, flushes and partial writes")
  func comeWithTheirFrames() async throws {
    let loop = try EventLoop(threadName: "test")
    let gate = Gate()
    let sockets = try UnixSocket.pair()
    let random = SeededGenerator(announcedFor: "SocketStream and descriptors")
    let exchange = LoopConfined<DescriptorExchange?>(loop, nil)
    try await loop.run {
      exchange.value = try DescriptorExchange(loop, sockets: sockets, frameCount: 1_500, random: random) {
        gate.open()
      }
    }
    await gate.wait()
    await loop.stop()
  }

  @Test("a read ends with the message that has descriptors, so it brings one batch; bytes before it come along")
  func aReadBringsOneBatch() async throws {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: mine)
      stream.acceptsDescriptors = true
      #expect(sendPlainly(peers, [1, 2]) == 2)
      #expect(send(peers, copies: 2, of: peers) == 1)
      #expect(send(peers, copies: 3, of: peers) == 1)
      #expect(sendPlainly(peers, [9]) == 1)
      #expect(SocketStreamTests.read(stream).1 == [1, 2, 7])
      #expect(stream.takeReceivedDescriptors()?.count == 2)
      #expect(SocketStreamTests.read(stream).1 == [7])
      #expect(stream.takeReceivedDescriptors()?.count == 3)
      #expect(stream.takeReceivedDescriptors() == nil)
      #expect(SocketStreamTests.read(stream).1 == [9])
      #expect(stream.takeReceivedDescriptors() == nil)
    }
    await loop.stop()
    Glibc.close(peers)
  }

  @Test("descriptors nobody has taken by the next read, or by the end, are closed; taken ones are the taker's")
  func closesWhatNobodyTook() async throws {
    let loop = try EventLoop(threadName: "test")
    let sockets = try UnixSocket.pair()
    try await loop.run {
      let sender = try SocketStream(loop, descriptor: sockets.0)
      let receiver = try SocketStream(loop, descriptor: sockets.1)
      receiver.acceptsDescriptors = true
      for tag in 0..<3 as Range<UInt64> {
        Self.append(1, tags: tag..<(tag + 1), to: sender)
        #expect(sender.flush() == .drained)
      }
      _ = SocketStreamTests.read(receiver)
      let taken = receiver.takeReceivedDescriptors()
      _ = SocketStreamTests.read(receiver)
      weak let passedOver = receiver.receivedDescriptors
      #expect(Self.tags(passedOver) == [1])
      _ = SocketStreamTests.read(receiver)
      #expect(passedOver == nil)
      weak let left = receiver.receivedDescriptors
      #expect(Self.tags(left) == [2])
      receiver.close()
      #expect(left == nil && receiver.takeReceivedDescriptors() == nil)
      #expect(Self.tags(taken) == [0])
    }
    await loop.stop()
  }

  @Test("a frame keeps its descriptors until it has wholly left, and closing the stream lets go of the rest")
  func keepsThemForASecondTry() async throws {
    let loop = try EventLoop(threadName: "test")
    let sockets = try UnixSocket.pair()
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: sockets.0)
      // The first fills the socket in the middle of the second.
      SocketStreamTests.append(100, to: stream)
      Self.append(2_000_000, tags: 1..<3, to: stream)
      let second = stream.output.appendedBytes
      Self.append(10, tags: 3..<4, to: stream)
      let third = stream.output.appendedBytes
      weak let begun = stream.output.descriptors(ofFrameEndingAt: second)
      weak let unsent = stream.output.descriptors(ofFrameEndingAt: third)
      #expect(stream.output.descriptors(ofFrameEndingAt: 100) == nil)
      #expect(stream.flush() == .waiting)
      #expect(stream.output.sentBytes > 100 && stream.output.sentBytes < second)
      #expect(Self.tags(stream.output.descriptors(ofFrameEndingAt: second)) == [1, 2])
      #expect(Self.tags(stream.output.descriptors(ofFrameEndingAt: third)) == [3])
      // What has the frame sent again keeps them.
      let again = stream.output.descriptors(ofFrameEndingAt: second)
      stream.close()
      #expect(unsent == nil && begun === again)
      #expect(Self.tags(again) == [1, 2])
    }
    await loop.stop()
    Glibc.close(sockets.1)
  }

  @Test("thousands of early ends leave no descriptor open")
  func earlyEndsLeaveNothing() async {
    await #expect(processExitsWith: .success) {
      let loop = try EventLoop(threadName: "test")
      let seed = SeededGenerator(announcedFor: "SocketStream and early ends")
      let before = openDescriptorCount()
      try await loop.run {
        var random = seed
        for _ in 0..<3_000 {
          let sockets = try UnixSocket.pair()
          let sender = try SocketStream(loop, descriptor: sockets.0)
          let receiver = try SocketStream(loop, descriptor: sockets.1)
          receiver.acceptsDescriptors = random.chance(80)
          for _ in 0..<random.below(4) {
            SocketStreamTests.append(1 + random.below(500), to: sender)
            let tags = 0..<UInt64(1 + random.below(8))
            Self.append(1 + random.below(random.pick([10, 100_000])), tags: tags, to: sender)
          }
          if random.chance(80) { _ = sender.flush() }
          for _ in 0..<random.below(4) {
            _ = SocketStreamTests.read(receiver, limit: 1 + random.below(1_000))
            if random.oneIn(2) { _ = receiver.takeReceivedDescriptors() }
          }
          let both = random.oneIn(2) ? [sender, receiver] : [receiver, sender]
          for stream in both { stream.close() }
        }
      }
      await loop.stop()
      #expect(await eventually { openDescriptorCount() < before + 20 })
    }
  }

  @Test("out of descriptors, a batch says that some are missing, also where none came")
  func tellsOfMissingOnes() async {
    await #expect(processExitsWith: .success) {
      let loop = try EventLoop(threadName: "test")
      let (mine, peers) = try UnixSocket.pair()
      try await loop.run {
        let stream = try SocketStream(loop, descriptor: mine)
        stream.acceptsDescriptors = true
        for left in [2, 0] {
          #expect(send(peers, copies: 5, of: peers) == 1)
          withDescriptorsLeft(left) {
            var byte: UInt8 = 0
            let outcome = withUnsafeMutableBytes(of: &byte) { stream.read(into: $0) }
            precondition(outcome == .bytes(1) && byte == 7)
          }
          let batch = stream.takeReceivedDescriptors()
          #expect(batch?.count == left && batch?.wasTruncated == true)
        }
        for count in [1, PassedDescriptors.maximumCount] {
          #expect(send(peers, copies: count, of: peers) == 1)
          #expect(SocketStreamTests.read(stream).1 == [7])
          let batch = stream.takeReceivedDescriptors()
          #expect(batch?.count == count && batch?.wasTruncated == false)
        }
      }
      await loop.stop()
      Glibc.close(peers)
    }
  }

  @Test("a peer that does not read gets few descriptors, and the rest when it reads, with what is behind them")
  func holdsBackFromWhoDoesNotRead() async throws {
    let loop = try EventLoop(threadName: "test")
    let sockets = try UnixSocket.pair()
    let kept = LoopConfined<SocketStream?>(loop, nil)
    let drained = Gate()
    let turns = LoopConfined(loop, 0)
    let most = SocketStream.maximumUnreceivedDescriptors
    try await loop.run {
      let stream = try SocketStream(loop, descriptor: sockets.0)
      kept.value = stream
      stream.onWritable = { if stream.flush() == .drained { drained.open() } }
      for batch in 0..<20 as Range<UInt64> { Self.append(2, tags: batch * 16..<batch * 16 + 16, to: stream) }
      SocketStreamTests.append(5, to: stream)
      #expect(stream.flush() == .waiting)
      _ = LoopTurnHook(loop) { turns.value += 1 }
    }
    // It looks now and then, and does not spin.
    try await Self.milliseconds(300, loop)
    try await loop.run {
      #expect(kept.value?.output.sentBytes == UInt64(most / 16 * 2) && kept.value?.unreceivedDescriptors == most)
      #expect(turns.value < 200)
    }
    let received = LoopConfined<[UInt64?]>(loop, [])
    let end = Gate()
    try await loop.run {
      let receiver = try SocketStream(loop, descriptor: sockets.1)
      receiver.acceptsDescriptors = true
      var byteCount = 0
      receiver.onReadable = {
        byteCount += SocketStreamTests.read(receiver).1.count
        received.value += Self.tags(receiver.takeReceivedDescriptors()) ?? []
        if byteCount == 45 { end.open() }
      }
      receiver.startReading()
    }
    await drained.wait()
    await end.wait()
    #expect(try await loop.run { received.value } == Array(0..<320))
    await loop.stop()
  }

  /// Lets so much time pass on the loop.
  private static func milliseconds(_ count: UInt64, _ loop: EventLoop) async throws {
    let gate = Gate()
    try await loop.run { LoopTimer(loop) { gate.open() }.schedule(afterMilliseconds: count) }
    await gate.wait()
  }

  @Test("with too many descriptors under way the stream waits, loses nothing, and goes on when there is room")
  func waitsForRoomUnderWay() async {
    await #expect(processExitsWith: .success) {
      // The kernel counts by user, and lets root pass: so a user whom nobody else is.
      if getuid() == 0 { #expect(setuid(uid_t(200_000 + getpid())) == 0) }
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      limit.rlim_cur = 128
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let loop = try EventLoop(threadName: "test")
      let hoard = try UnixSocket.pair()
      let (mine, peers) = try UnixSocket.pair()
      let kept = LoopConfined<SocketStream?>(loop, nil)
      let drained = Gate()
      for _ in 0..<3 { #expect(send(hoard.0, copies: 50, of: STDERR_FILENO) == 1) }
      #expect(send(hoard.0, copies: 1, of: STDERR_FILENO) == -1 && errno == ETOOMANYREFS)
      try await loop.run {
        let stream = try SocketStream(loop, descriptor: mine)
        kept.value = stream
        stream.onWritable = { if stream.flush() == .drained { drained.open() } }
        SocketStreamTests.append(3, to: stream)
        Self.append(5, tags: 7..<9, to: stream)
        SocketStreamTests.append(2, to: stream)
        #expect(stream.flush() == .waiting)
        #expect(stream.sendingShortage.isResting && stream.output.sentBytes == 3)
        #expect(stream.flush() == .waiting)
      }
      #expect(receivePlainly(peers) == 3)
      // Frees what was under way.
      Glibc.close(hoard.1)
      await drained.wait()
      try await loop.run {
        #expect(kept.value?.sendingShortage.isMet == false)
        let receiver = try SocketStream(loop, descriptor: peers)
        receiver.acceptsDescriptors = true
        #expect(SocketStreamTests.read(receiver).1 == [2, 2, 2, 2, 2, 1, 1])
        #expect(Self.tags(receiver.takeReceivedDescriptors()) == [7, 8])
      }
      await loop.stop()
      Glibc.close(hoard.0)
    }
  }
}
