import Glibc
import HostcallLoop
import Testing

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
    #expect(throws: LoopError.self) { try UnixSocket.connect(path: path) }
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

  @Test("out of descriptors it reports once, does not spin, and accepts when there are some again")
  func waitsForDescriptors() async {
    // In a process of its own: the limit is the whole process's.
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      dup2(open("/tmp/hc-loop/crash.txt", O_WRONLY | O_CREAT | O_APPEND, 0o600), 2)
      let warm = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: 64)
      _ = cBacktrace(warm, 64)
      signal(SIGILL) { _ in
        withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 64) { frames in
          let count = cBacktrace(frames.baseAddress!, 64)
          cBacktraceSymbols(frames.baseAddress!, count, 2)
        }
        signal(SIGILL, SIG_DFL)
      }

      let loop = try EventLoop(threadName: "test")
      let path = temporarySocketPath()
      let listening = try UnixSocket.listen(path: path, backlog: 16, mode: 0o600)
      let mine = try UnixSocket.connect(path: path)
      let accepted = Gate()
      let retried = Gate()
      let turns = LoopConfined(loop, 0)
      let failures = LoopConfined<[LoopError]>(loop, [])
      let isFull = LoopConfined(loop, true)
      try await loop.run {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let before = limit
        limit.rlim_cur = 3
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        _ = LoopTurnHook(loop) { turns.value += 1 }
        let restoring = LoopTimer(loop) {
          // About three tries have failed since the first, none reported; waiting costs next to no turns.
          #expect(turns.value < 20)
          isFull.value = false
          var restored = before
          setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &restored)
          retried.open()
        }
        _ = try SocketListener(
          loop, descriptor: listening,
          onAccept: { descriptor in
            #expect(!isFull.value)
            Glibc.close(descriptor)
            accepted.open()
          },
          onFailure: {
            failures.value.append($0)
            restoring.schedule(afterMilliseconds: 350)
          })
      }
      await retried.wait()
      await accepted.wait()
      let reported = try await loop.run { failures.value }
      #expect(reported.count == 1 && reported.first?.code == EMFILE)
      #expect(reported.first?.description.contains("raise the limit on open files") == true)
      await loop.stop()
      Glibc.close(mine)
      unlink(path)
    }
    print("CHILD STDERR:", String(decoding: result?.standardErrorContent ?? [], as: UTF8.self))
  }
}

@_silgen_name("backtrace") func cBacktrace(_ b: UnsafeMutablePointer<UnsafeMutableRawPointer?>, _ n: Int32) -> Int32
@_silgen_name("backtrace_symbols_fd") func cBacktraceSymbols(
  _ b: UnsafeMutablePointer<UnsafeMutableRawPointer?>, _ n: Int32, _ fd: Int32)
