import Glibc
import HostcallLoop
import Testing

@Suite("UnixSocket")
struct UnixSocketTests {
  @Test("a listener has exactly the asked permissions, and can be connected to")
  func listensAndConnects() throws {
    let path = temporarySocketPath()
    defer { unlink(path) }
    for mode: UInt32 in [0o600, 0o660, 0o666] {
      let listening = try UnixSocket.listen(path: path, backlog: 4, mode: mode)
      var status = stat()
      #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == mode)
      for descriptor in [listening, try UnixSocket.connect(path: path)] {
        #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
        #expect(fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0)
        close(descriptor)
      }
      unlink(path)
    }
  }

  @Test("a path that is too long, empty or has a NUL is an error that says so")
  func refusesPaths() throws {
    let long = "/tmp/" + String(repeating: "x", count: 103)
    let error = #expect(throws: LoopError.self) { try UnixSocket.listen(path: long, backlog: 1, mode: 0o600) }
    #expect(error?.code == ENAMETOOLONG)
    #expect(error?.reason == "the path has 108 bytes, and a socket's may have 107")
    #expect(throws: LoopError.self) { try UnixSocket.connect(path: long) }
    #expect(throws: LoopError.self) { try UnixSocket.connect(path: "") }
    #expect(throws: LoopError.self) { try UnixSocket.connect(path: "/tmp/a\0b") }
    let longest = "/tmp/" + String(repeating: "x", count: 102)
    close(try UnixSocket.listen(path: longest, backlog: 1, mode: 0o600))
    unlink(longest)
  }

  @Test("what the kernel refuses comes with its errno value")
  func reportsTruthfully() async throws {
    let path = temporarySocketPath()
    #expect(code { try UnixSocket.connect(path: path) } == ENOENT)
    #expect(code { try UnixSocket.listen(path: "/no-such-folder/x", backlog: 1, mode: 0o600) } == ENOENT)
    let listening = try UnixSocket.listen(path: path, backlog: 0, mode: 0o600)
    #expect(code { try UnixSocket.listen(path: path, backlog: 1, mode: 0o600) } == EADDRINUSE)
    // The backlog of 0 takes one.
    let first = try UnixSocket.connect(path: path)
    #expect(code { try UnixSocket.connect(path: path) } == EAGAIN)
    close(first)
    close(listening)
    #expect(await eventually { code { try UnixSocket.connect(path: path) } == ECONNREFUSED })
    unlink(path)
  }

  private func code(_ body: () throws -> Int32) -> Int32? {
    do {
      close(try body())
      return nil
    } catch {
      return (error as? LoopError)?.code
    }
  }
}

@Suite("LoopError")
struct LoopErrorTests {
  @Test("an error reads well on a terminal")
  func readsWell() {
    let advice = "choose another path with --socket"
    let advised = LoopError(attempted: "listen on /run/x.sock", code: EACCES, advice: advice)
    #expect("\(advised)" == "cannot listen on /run/x.sock: permission denied (choose another path with --socket)")
    #expect("\(LoopError(attempted: "x", code: -EBUSY))" == "cannot x: resource busy or locked")
    #expect(LoopError(attempted: "x", code: -EBUSY).code == EBUSY)
    #expect(LoopError(attempted: "x", code: 99_999).reason == "Unknown system error -99999")
  }
}

@Suite("HeapLock")
struct HeapLockTests {
  @Test("increments by several tasks are all there")
  func countsUp() async {
    let lock = HeapLock(0)
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 { group.addTask { for _ in 0..<10_000 { lock.withLock { $0 += 1 } } } }
    }
    #expect(lock.withLock { $0 } == 80_000)
  }

  @Test("taking it again inside itself stops the process instead of hanging it")
  func isNotRecursive() async {
    await #expect(processExitsWith: .failure) {
      let lock = HeapLock(0)
      lock.withLock { _ in lock.withLock { _ in } }
    }
  }
}
