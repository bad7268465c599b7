import HostcallLoop
import Testing

@Suite("LoopTimer", .timeLimit(.minutes(1)))
struct LoopTimerTests {
  @Test("a timer fires once, and no earlier than asked, even when scheduled late in a long turn")
  func firesNoEarlier() async throws {
    let loop = try EventLoop(threadName: "test")
    for milliseconds: UInt64 in [0, 1, 5, 20] {
      let gate = Gate()
      let elapsed = LoopConfined<[UInt64]>(loop, [])
      loop.execute {
        let turnStart = loop.nowNanoseconds()
        while loop.nowNanoseconds() < turnStart + 10_000_000 {}
        let start = loop.nowNanoseconds()
        let timer = LoopTimer(loop) {
          elapsed.value.append(loop.nowNanoseconds() - start)
          gate.open()
        }
        timer.schedule(afterMilliseconds: milliseconds)
      }
      await gate.wait()
      let times = try await loop.run { elapsed.value }
      #expect(times.count == 1)
      #expect(times.allSatisfy { $0 >= milliseconds * 1_000_000 }, "\(milliseconds) ms: \(times) ns")
    }
    await loop.stop()
  }

  @Test("scheduling again replaces what was scheduled, cancelling and closing forget it")
  func replacesAndCancels() async throws {
    let loop = try EventLoop(threadName: "test")
    let log = LoopConfined<[String]>(loop, [])
    let gate = Gate()
    loop.execute {
      let replaced = LoopTimer(loop) { log.value.append("replaced") }
      let cancelled = LoopTimer(loop) { log.value.append("cancelled") }
      let closed = LoopTimer(loop) { log.value.append("closed") }
      let last = LoopTimer(loop) { gate.open() }
      for timer in [replaced, cancelled, closed] { timer.schedule(afterMilliseconds: 1) }
      replaced.schedule(afterMilliseconds: 10)
      cancelled.cancel()
      closed.close()
      closed.schedule(afterMilliseconds: 1)
      last.schedule(afterMilliseconds: 30)
    }
    await gate.wait()
    #expect(try await loop.run { log.value } == ["replaced"])
    await loop.stop()
  }

  @Test("a timer can be scheduled and closed in its own callback, and fires in order with others")
  func reschedulesItself() async throws {
    let loop = try EventLoop(threadName: "test")
    let log = LoopConfined<[Int]>(loop, [])
    let repeating = LoopConfined<LoopTimer?>(loop, nil)
    let gate = Gate()
    loop.execute {
      repeating.value = LoopTimer(loop) {
        log.value.append(log.value.count)
        guard log.value.count < 5 else {
          repeating.value?.close()
          gate.open()
          return
        }
        repeating.value?.schedule(afterMilliseconds: 1)
      }
      repeating.value?.schedule(afterMilliseconds: 1)
    }
    await gate.wait()
    #expect(try await loop.run { log.value } == [0, 1, 2, 3, 4])
    await loop.stop()
  }

  @Test("the longest delay neither overflows nor fires")
  func longestDelay() async throws {
    let loop = try EventLoop(threadName: "test")
    let gate = Gate()
    loop.execute {
      LoopTimer(loop) { Issue.record("fired") }.schedule(afterMilliseconds: .max)
      LoopTimer(loop) { Issue.record("fired") }.schedule(afterMilliseconds: .max - 1)
      LoopTimer(loop) { gate.open() }.schedule(afterMilliseconds: 5)
    }
    await gate.wait()
    await loop.stop()
  }
}
