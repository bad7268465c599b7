import Glibc
import HostcallLoop
import Testing

@Suite("EventLoop", .timeLimit(.minutes(2)))
struct EventLoopTests {
  @Test("work and actors run on the loop thread, and nowhere else")
  func runsOnItsThread() async throws {
    let loop = try EventLoop(threadName: "a name longer than 15 bytes")
    #expect(!loop.isCurrent)
    #expect(try await loop.run { loop.isCurrent })
    let actor = LoopActor(loop)
    for value in 0..<100 { await actor.append(value) }
    #expect(await actor.log == Array(0..<100))
    #expect(await actor.runsElsewhere == 0)
    await loop.stop()
  }

  @Test("assumeIsolated holds in a timer's callback")
  func assumesIsolation() async throws {
    let loop = try EventLoop(threadName: "test")
    let actor = LoopActor(loop)
    let gate = Gate()
    await actor.startTimer(gate)
    await gate.wait()
    #expect(await actor.log == [-1])
    await loop.stop()
  }

  @Test("100,000 hops from ten tasks arrive, in order for each task")
  func hopsArriveInOrder() async throws {
    let loop = try EventLoop(threadName: "test")
    let actor = LoopActor(loop)
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<10 {
        group.addTask { for hop in 0..<10_000 { await actor.append(task * 10_000 + hop) } }
      }
    }
    let log = await actor.log
    #expect(log.count == 100_000)
    for task in 0..<10 {
      #expect(log.filter { $0 / 10_000 == task } == Array(task * 10_000..<(task + 1) * 10_000))
    }
    #expect(await actor.runsElsewhere == 0)
    await loop.stop()
  }

  @Test("work from several tasks that do not wait arrives in order for each")
  func workArrivesInOrder() async throws {
    let loop = try EventLoop(threadName: "test")
    let seen = LoopConfined(loop, [Int](repeating: 0, count: 4))
    let disorder = LoopConfined(loop, 0)
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<4 {
        group.addTask {
          for count in 0..<25_000 {
            loop.execute {
              if seen.value[task] != count { disorder.value += 1 }
              seen.value[task] = count + 1
            }
          }
        }
      }
    }
    #expect(try await loop.run { seen.value } == [25_000, 25_000, 25_000, 25_000])
    #expect(try await loop.run { disorder.value } == 0)
    await loop.stop()
  }

  @Test("work that hands in more work without end does not keep timers from firing")
  func workDoesNotStarveTimers() async throws {
    let loop = try EventLoop(threadName: "test")
    let isOver = LoopConfined(loop, false)
    let gate = Gate()
    @Sendable func again() {
      if !isOver.value { loop.execute(again) }
    }
    loop.execute {
      let timer = LoopTimer(loop) {
        isOver.value = true
        gate.open()
      }
      timer.schedule(afterMilliseconds: 5)
      again()
    }
    await gate.wait()
    await loop.stop()
  }

  @Test("stopping is one end for all who ask, however often")
  func stopsOnce() async throws {
    let loop = try EventLoop(threadName: "test")
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 { group.addTask { await loop.stop() } }
    }
    await loop.stop()
  }

  @Test("an actor on the loop may ask it to stop and goes on after the end")
  func stopsFromItsActor() async throws {
    let loop = try EventLoop(threadName: "test")
    let actor = LoopActor(loop)
    await actor.stopAndAppend(1)
    #expect(await actor.log == [1])
  }

  @Test("jobs handed in after the end run, one at a time, where isCurrent holds")
  func jobsAfterTheEndAreRun() async throws {
    let loop = try EventLoop(threadName: "test")
    let actor = LoopActor(loop)
    await loop.stop()
    await withTaskGroup(of: Void.self) { group in
      for value in 1...1_000 { group.addTask { await actor.append(value) } }
    }
    #expect(await actor.sum == 500_500)
    #expect(await actor.runsElsewhere == 0)
    #expect(try await loop.run { loop.isCurrent })
    #expect(try await loop.run { loop.openHandleCount } == 0)
  }

  @Test("stand-in threads that end and begin while jobs arrive run each job once")
  func standInsTakeTurns() async throws {
    let loop = try EventLoop(threadName: "test")
    let actor = LoopActor(loop)
    await loop.stop()
    await withTaskGroup(of: Void.self) { group in
      // Each waits for its last job, so the queue runs empty, and a stand-in ends, again and again.
      for _ in 0..<3 { group.addTask { for _ in 0..<2_000 { await actor.append(1) } } }
    }
    #expect(await actor.sum == 6_000)
    #expect(await actor.runsElsewhere == 0)
  }

  @Test("jobs that race the end are not lost")
  func jobsRacingTheEndAreRun() async throws {
    for _ in 0..<100 {
      let loop = try EventLoop(threadName: "test")
      let actor = LoopActor(loop)
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<4 { group.addTask { for _ in 0..<50 { await actor.append(1) } } }
        group.addTask { await loop.stop() }
      }
      #expect(await actor.sum == 200)
    }
  }

  @Test("the clock does not go back")
  func clockGoesForward() async throws {
    let loop = try EventLoop(threadName: "test")
    let first = loop.nowNanoseconds()
    let second = try await loop.run { loop.nowNanoseconds() }
    #expect(first <= second && second <= loop.nowNanoseconds())
    await loop.stop()
  }
}

extension LoopActor {
  func stopAndAppend(_ value: Int) async {
    await loop.stop()
    append(value)
  }
}
