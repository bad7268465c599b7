import HostcallLoop
import Testing

@Suite("LoopTurnHook", .timeLimit(.minutes(1)))
struct LoopTurnHookTests {
  @Test("what jobs and timers mark in a turn is seen once, before the loop blocks")
  func seesEachTurnOnce() async throws {
    let loop = try EventLoop(threadName: "test")
    let dirty = LoopConfined(loop, 0)
    let flushed = LoopConfined<[Int]>(loop, [])
    let gate = Gate()
    loop.execute {
      // The timers are started by the first flush, and due at once: however slow the machine is, the jobs are one turn
      // and the timers the next.
      _ = LoopTurnHook(loop) {
        guard dirty.value > 0 else { return }
        flushed.value.append(dirty.value)
        dirty.value = 0
        guard flushed.value.count == 1 else { return gate.open() }
        for _ in 0..<5 { LoopTimer(loop) { dirty.value += 1 }.schedule(afterMilliseconds: 0) }
      }
      for _ in 0..<10 { loop.execute { dirty.value += 1 } }
    }
    await gate.wait()
    #expect(try await loop.run { flushed.value } == [10, 5])
    await loop.stop()
  }

  @Test("an idle loop with a hook does not turn")
  func causesNoWakeUps() async throws {
    let loop = try EventLoop(threadName: "test")
    let turns = LoopConfined(loop, 0)
    let gate = Gate()
    loop.execute {
      _ = LoopTurnHook(loop) { turns.value += 1 }
      LoopTimer(loop) { gate.open() }.schedule(afterMilliseconds: 100)
    }
    await gate.wait()
    #expect(try await loop.run { turns.value } <= 6)
    await loop.stop()
  }

  @Test("a hook closed in its own call is not called again")
  func closesItself() async throws {
    let loop = try EventLoop(threadName: "test")
    let hook = LoopConfined<LoopTurnHook?>(loop, nil)
    let calls = LoopConfined(loop, 0)
    let gate = Gate()
    loop.execute {
      hook.value = LoopTurnHook(loop) {
        calls.value += 1
        hook.value?.close()
      }
      LoopTimer(loop) { gate.open() }.schedule(afterMilliseconds: 5)
    }
    await gate.wait()
    #expect(try await loop.run { calls.value } == 1)
    await loop.stop()
  }
}
