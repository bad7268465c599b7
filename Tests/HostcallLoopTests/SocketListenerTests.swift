import Glibc
import Testing

@testable import HostcallLoop

@Suite("SocketListener", .timeLimit(.minutes(1)))
struct SocketListenerTests {
  @Test("every connection is accepted, more than fit in one turn too")
  func acceptsAll() async throws {
    let loop = try EventLoop(threadName: "test")
    let path = temporarySocketPath()
    let listening = try UnixSocket.listen(path: path, backlog: 256, mode: 0o600)
    let mine = try (0..<200).map { _ in try UnixSocket.connect(path: path) }
    let gate = Gate(count: 200)
    try await loop.run {
      _ = try SocketListener(
        loop, descriptor: listening,
        onAccept: { descriptor in
          #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0 && fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0)
          Glibc.close(descriptor)
          gate.open()
        }, onFailure: { Issue.record($0) })
    }
    await gate.wait()
    for descriptor in mine { Glibc.close(descriptor) }
    await loop.stop()
    // The descriptor is closed: no one listens any more.
    #expect(
      await eventually {
        guard let descriptor = try? UnixSocket.connect(path: path) else { return true }
        Glibc.close(descriptor)
        return false
      })
    unlink(path)
  }

  @Test("a listener closed in its callback accepts nothing more")
  func closesInCallback() async throws {
    let loop = try EventLoop(threadName: "test")
    let path = temporarySocketPath()
    defer { unlink(path) }
    let listening = try UnixSocket.listen(path: path, backlog: 16, mode: 0o600)
    let mine = try (0..<5).map { _ in try UnixSocket.connect(path: path) }
    let listener = LoopConfined<SocketListener?>(loop, nil)
    let accepted = LoopConfined(loop, 0)
    let gate = Gate()
    try await loop.run {
      listener.value = try SocketListener(
        loop, descriptor: listening,
        onAccept: { descriptor in
          Glibc.close(descriptor)
          accepted.value += 1
          listener.value?.close()
          gate.open()
        }, onFailure: { Issue.record($0) })
    }
    await gate.wait()
    await loop.stop()
    #expect(try await loop.run { accepted.value } == 1)
    for descriptor in mine { Glibc.close(descriptor) }
  }

  @Test("out of descriptors it reports once, does not spin, accepts when there are some again, and reports anew")
  func waitsForDescriptors() async throws {
    let loop = try EventLoop(threadName: "test")
    let path = temporarySocketPath()
    defer { unlink(path) }
    let listening = try UnixSocket.listen(path: path, backlog: 16, mode: 0o600)
    let log = LoopConfined<[String]>(loop, [])
    let times = LoopConfined<[UInt64]>(loop, [])
    let failuresLeft = LoopConfined(loop, 3)
    let kept = LoopConfined<SocketListener?>(loop, nil)
    let (first, failedAgain, second) = (Gate(), Gate(), Gate())
    let mine = try UnixSocket.connect(path: path)
    try await loop.run {
      kept.value = try SocketListener(
        loop, descriptor: listening,
        accept: { descriptor in
          guard failuresLeft.value > 0 else { return SocketListener.accept(on: descriptor) }
          failuresLeft.value -= 1
          log.value.append("failed")
          times.value.append(loop.nowNanoseconds())
          errno = EMFILE
          return -1
        },
        onAccept: { descriptor in
          Glibc.close(descriptor)
          log.value.append("accepted")
          log.value.filter { $0 == "accepted" }.count == 1 ? first.open() : second.open()
        },
        onFailure: { error in
          #expect(error.code == EMFILE && error.description.contains("raise the limit on open files"))
          log.value.append("reported")
          if log.value.contains("accepted") { failedAgain.open() }
        })
    }
    await first.wait()
    // Each try is in the log, so a spinning listener would show.
    #expect(try await loop.run { log.value } == ["failed", "reported", "failed", "failed", "accepted"])
    let waits = try await loop.run { zip(times.value.dropFirst(), times.value).map { $0 - $1 } }
    #expect(waits.allSatisfy { $0 >= SocketListener.retryMilliseconds * 1_000_000 })

    try await loop.run { failuresLeft.value = 1 }
    let another = try UnixSocket.connect(path: path)
    await failedAgain.wait()
    try await loop.run { kept.value?.resume() }
    await second.wait()
    #expect(try await loop.run { log.value.suffix(3) } == ["failed", "reported", "accepted"])
    await loop.stop()
    Glibc.close(mine)
    Glibc.close(another)
  }

  @Test("a connection that was given up before it was accepted, or a signal, does not pause accepting")
  func goesOnAfterPassingErrors() async throws {
    let loop = try EventLoop(threadName: "test")
    let path = temporarySocketPath()
    defer { unlink(path) }
    let listening = try UnixSocket.listen(path: path, backlog: 16, mode: 0o600)
    let mine = try UnixSocket.connect(path: path)
    let passing = LoopConfined(loop, [ECONNABORTED, EPROTO, EINTR])
    let gate = Gate()
    try await loop.run {
      _ = try SocketListener(
        loop, descriptor: listening,
        accept: { descriptor in
          guard let code = passing.value.popLast() else { return SocketListener.accept(on: descriptor) }
          errno = code
          return -1
        },
        onAccept: { descriptor in
          Glibc.close(descriptor)
          gate.open()
        }, onFailure: { Issue.record($0) })
    }
    await gate.wait()
    await loop.stop()
    Glibc.close(mine)
  }
}
