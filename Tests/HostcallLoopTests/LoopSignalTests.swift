import Glibc
import HostcallLoop
import Testing

@Suite("LoopSignal", .timeLimit(.minutes(1)))
struct LoopSignalTests {
  @Test("a signal to the process is told on the loop thread")
  func tellsOfASignal() async throws {
    let loop = try EventLoop(threadName: "test")
    let gate = Gate()
    try await loop.run {
      _ = try LoopSignal(loop, number: SIGUSR1) {
        #expect(loop.isCurrent)
        gate.open()
      }
    }
    kill(getpid(), SIGUSR1)
    await gate.wait()
    await loop.stop()
  }

  @Test("a signal that cannot be caught is an error, and leaves no handle")
  func refusesUncatchable() async throws {
    let loop = try EventLoop(threadName: "test")
    try await loop.run {
      let error = #expect(throws: LoopError.self) { try LoopSignal(loop, number: SIGKILL) {} }
      #expect(error?.code == EINVAL)
      #expect(error?.description == "cannot wait for signal 9: invalid argument")
    }
    #expect(try await loop.run { loop.openHandleCount } == 0)
    await loop.stop()
  }
}
