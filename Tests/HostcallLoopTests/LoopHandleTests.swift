import Glibc
import HostcallLoop
import Testing

/// What is true of handles of every kind.
@Suite("LoopHandle", .timeLimit(.minutes(2)))
struct LoopHandleTests {
  /// Opens one handle of every kind: seven, with the two streams.
  private static func openEveryKind(on loop: EventLoop, path: String, pair: (Int32, Int32)) throws -> [LoopHandle] {
    let timer = LoopTimer(loop) {}
    timer.schedule(afterMilliseconds: 3_600_000)
    let hook = LoopTurnHook(loop) {}
    let signal = try LoopSignal(loop, number: SIGUSR2) {}
    let listening = try UnixSocket.listen(path: path, backlog: 16, mode: 0o600)
    let listener = try SocketListener(
      loop, descriptor: listening, onAccept: { Glibc.close($0) }, onFailure: { _ in })
    let reader = try SocketStream(loop, descriptor: pair.0)
    reader.startReading()
    let writer = try SocketStream(loop, descriptor: pair.1)
    let idle = LoopTimer(loop) {}
    return [timer, hook, signal, listener, reader, writer, idle]
  }

  @Test("the loop stops with every kind of handle open, and output waiting")
  func stopsWithHandlesOpen() async throws {
    let loop = try EventLoop(threadName: "test")
    let path = temporarySocketPath()
    defer { unlink(path) }
    let (mine, peers) = try UnixSocket.pair()
    let count = try await loop.run {
      _ = try Self.openEveryKind(on: loop, path: path, pair: try UnixSocket.pair())
      let stream = try SocketStream(loop, descriptor: mine)
      stream.output.appendFrame(byteCount: 4_000_000) { $0.initializeMemory(as: UInt8.self, repeating: 1) }
      #expect(stream.flush() == .waiting)
      return loop.openHandleCount
    }
    #expect(count == 8)
    await loop.stop()
    // The peer sees the end after the bytes.
    #expect(await eventually { receivePlainly(peers) == nil })
    Glibc.close(peers)
    #expect(try await loop.run { loop.openHandleCount } == 0)
  }

  @Test("5,000 openings and closings of each kind leak no handle, descriptor or thread")
  func leaksNothing() async {
    await #expect(processExitsWith: .success) {
      let path = temporarySocketPath()
      // One loop first: the runtime and libuv open descriptors of their own once.
      for round in 0..<2 {
        let loop = try EventLoop(threadName: "test")
        let before = try await loop.run {
          _ = try LoopSignal(loop, number: SIGUSR2) {}
          return openDescriptorCount()
        }
        for _ in 0..<(round == 0 ? 1 : 100) {
          try await loop.run {
            for _ in 0..<50 {
              let handles = try Self.openEveryKind(on: loop, path: path, pair: try UnixSocket.pair())
              for handle in handles.shuffled() { handle.close() }
              handles[0].close()
              unlink(path)
            }
          }
        }
        // Closing is done at the end of the turn, which work handed in meanwhile may run before.
        var looks = 0
        while try await loop.run({ loop.openHandleCount }) > 1, looks < 1_000_000 { looks += 1 }
        #expect(try await loop.run { loop.openHandleCount } == 1)
        // The test library may open or close a few of its own meanwhile.
        #expect(try await loop.run { openDescriptorCount() } < before + 20)
        await loop.stop()
      }
      let descriptors = openDescriptorCount()
      let threads = threadCount()
      for _ in 0..<200 { await (try EventLoop(threadName: "test")).stop() }
      #expect(openDescriptorCount() < descriptors + 20)
      // The pool of the runtime may grow meanwhile; a leak would be one for each loop.
      #expect(threadCount() < threads + 20)
    }
  }

  @Test("handles made on a loop that has stopped are closed from the start, and their methods do nothing")
  func handlesAfterTheEnd() async throws {
    let loop = try EventLoop(threadName: "test")
    await loop.stop()
    let (mine, peers) = try UnixSocket.pair()
    try await loop.run {
      let timer = LoopTimer(loop) { Issue.record("fired after the end") }
      timer.schedule(afterMilliseconds: 0)
      timer.cancel()
      timer.close()
      LoopTurnHook(loop) { Issue.record("a turn after the end") }.close()
      #expect(!timer.isOpen)
      #expect(throws: LoopError.self) { try SocketStream(loop, descriptor: mine) }
      #expect(throws: LoopError.self) { try LoopSignal(loop, number: SIGUSR2) {} }
      #expect(throws: LoopError.self) {
        try SocketListener(loop, descriptor: mine, onAccept: { _ in }, onFailure: { _ in })
      }
    }
    // A refused descriptor is still the caller's.
    #expect(sendPlainly(mine, [1]) == 1)
    Glibc.close(mine)
    Glibc.close(peers)
  }

  @Test("a handle lets go of what its callbacks hold when it is closed")
  func releasesCallbacks() async throws {
    final class Held {}
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    let witness = LoopConfined<(() -> Bool)?>(loop, nil)
    try await loop.run {
      let held = Held()
      witness.value = { [weak held] in held != nil }
      let stream = try SocketStream(loop, descriptor: mine)
      stream.onReadable = { _ = (held, stream) }
      let timer = LoopTimer(loop) { _ = held }
      stream.close()
      timer.close()
    }
    await loop.stop()
    #expect(try await loop.run { witness.value?() } == false)
    Glibc.close(peers)
  }

  @Test("a method called off the loop thread stops the process")
  func checksTheThread() async {
    await #expect(processExitsWith: .failure) {
      let loop = try EventLoop(threadName: "test")
      _ = loop.openHandleCount
    }
  }
}
