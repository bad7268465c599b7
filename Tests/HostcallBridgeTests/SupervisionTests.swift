import Testing

@testable import HostcallBridge

/// When workers are started, and when that is given up.
@Suite struct SupervisionTests {
  private static func plan(unit: Bool = false) -> OnDemandWorker {
    var worker = OnDemandWorker("w", functions: ["a"], launch: unit ? .unit("w") : .command(["/bin/w"]))
    worker.startMilliseconds = 1_000
    worker.firstDelayMilliseconds = 10
    worker.longestDelayMilliseconds = 80
    worker.starts = 4
    worker.startsWithinMilliseconds = 10_000
    return worker
  }

  private var supervision = Supervision([Self.plan()])

  @Test mutating func itIsStartedOnceForAllWhoWait() {
    supervision.isWanted(0, now: 100)
    supervision.isWanted(0, now: 101)
    #expect(supervision.takeSteps() == [.start(0)] && supervision.isStarting)
    supervision.isServing(0, now: 200)
    #expect(supervision.nextWake == nil && !supervision.isStarting)
    #expect(supervision.takeSteps().isEmpty)
  }

  @Test mutating func itIsStartedAgainWhenItIsWantedAgain() {
    supervision.isWanted(0, now: 100)
    supervision.isServing(0, now: 200)
    supervision.hasEnded(0, isWanted: false, now: 250)
    #expect(supervision.takeSteps() == [.start(0)] && supervision.nextWake == nil)
    supervision.isWanted(0, now: 255)
    // It has just ended.
    #expect(supervision.takeSteps().isEmpty && supervision.nextWake == 260)
    supervision.hitTime(now: 260) { _ in true }
    #expect(supervision.takeSteps() == [.start(0)])
  }

  @Test mutating func eachEndInARowDoublesTheDelayUpToTheLongest() {
    var now: UInt64 = 0
    supervision.isWanted(0, now: now)
    for delay in [10, 20, 40] as [UInt64] {
      #expect(supervision.takeSteps() == [.start(0)])
      supervision.hasEnded(0, isWanted: true, now: now)
      #expect(supervision.nextWake == now + delay)
      now += delay
      supervision.hitTime(now: now) { _ in true }
    }
    #expect(supervision.takeSteps() == [.start(0)])
    supervision.isServing(0, now: now)
    _ = supervision.takeSteps()
    // Calls wait for it before its end is told of.
    supervision.isWanted(0, now: now + 79)
    supervision.hasEnded(0, isWanted: true, now: now + 79)
    #expect(supervision.nextWake == now + 79 + 80)
  }

  @Test(arguments: [false, true])
  mutating func afterALongServiceItIsStartedAtOnceAndCountsAnew(isMissedBefore: Bool) {
    supervision.isWanted(0, now: 0)
    supervision.hasEnded(0, isWanted: true, now: 0)
    supervision.hitTime(now: 10) { _ in true }
    supervision.isServing(0, now: 20)
    if isMissedBefore { supervision.isWanted(0, now: 100) }
    #expect(supervision.takeSteps() == [.start(0), .start(0)])
    supervision.hasEnded(0, isWanted: true, now: 100)
    #expect(supervision.takeSteps() == [.start(0)])
    supervision.hasEnded(0, isWanted: true, now: 101)
    #expect(supervision.takeSteps().isEmpty && supervision.nextWake == 111)
  }

  @Test mutating func pastItsStartsItRestsUntilTheFirstIsLongEnoughAgo() {
    var now: UInt64 = 50
    supervision.isWanted(0, now: now)
    for _ in 1...4 {
      #expect(supervision.takeSteps() == [.start(0)])
      supervision.hasEnded(0, isWanted: true, now: now)
      now = supervision.nextWake ?? now
      supervision.hitTime(now: now) { _ in true }
    }
    #expect(supervision.takeSteps() == [.giveUp(0)] && supervision.nextWake == 10_050)
    supervision.isWanted(0, now: now + 1)
    #expect(supervision.takeSteps().isEmpty)
    supervision.hitTime(now: 10_050) { _ in true }
    #expect(supervision.takeSteps() == [.resume(0), .start(0)])
  }

  @Test mutating func whoTakesTooLongIsEndedAndStartedAgain() {
    supervision.isWanted(0, now: 0)
    supervision.hitTime(now: 999) { _ in true }
    #expect(supervision.takeSteps() == [.start(0)] && supervision.nextWake == 1_000)
    supervision.hitTime(now: 1_000) { _ in true }
    supervision.hitTime(now: 2_000) { _ in true }
    #expect(supervision.takeSteps() == [.end(0)])
    supervision.hasEnded(0, isWanted: true, now: 2_001)
    supervision.hitTime(now: 2_011) { _ in true }
    #expect(supervision.takeSteps() == [.start(0)])
  }

  @Test mutating func aDelayInWhichNobodyWaitsAnyMoreStartsNothing() {
    supervision.isWanted(0, now: 0)
    supervision.hasEnded(0, isWanted: true, now: 0)
    supervision.hitTime(now: 10) { _ in false }
    #expect(supervision.takeSteps() == [.start(0)] && supervision.nextWake == nil)
  }

  @Test mutating func whoIsThereWithoutItsFunctionsHasAWhileToComeBack() {
    supervision.isWanted(0, now: 0)
    supervision.isServing(0, now: 1)
    supervision.isWanted(0, now: 500)
    #expect(supervision.takeSteps() == [.start(0)] && supervision.nextWake == 1_500)
    supervision.isServing(0, now: 600)
    #expect(supervision.nextWake == nil)
    supervision.isWanted(0, now: 700)
    supervision.hitTime(now: 1_700) { _ in true }
    #expect(supervision.takeSteps() == [.end(0)])
  }

  @Test mutating func aUnitIsWishedForAgainWhenItHasNotCome() {
    supervision = Supervision([Self.plan(unit: true)])
    supervision.isWanted(0, now: 0)
    supervision.hitTime(now: 1_000) { _ in true }
    #expect(supervision.takeSteps() == [.start(0)] && supervision.nextWake == 1_010)
    supervision.hitTime(now: 1_010) { _ in true }
    supervision.isServing(0, now: 1_100)
    #expect(supervision.takeSteps() == [.start(0)])
    // Nobody tells of its end but the calls that wait.
    supervision.isWanted(0, now: 1_200)
    #expect(supervision.takeSteps() == [.start(0)])
    supervision.isServing(0, now: 1_210)
    supervision.isWanted(0, now: 1_220)
    #expect(supervision.takeSteps().isEmpty && supervision.nextWake == 1_230)
  }

  @Test mutating func oneThatWasTakenOverIsNotStartedASecondTime() {
    supervision.isAdopted(0, now: 0)
    supervision.isWanted(0, now: 10)
    #expect(supervision.takeSteps().isEmpty)
    supervision.hasEnded(0, isWanted: true, now: 20)
    supervision.hitTime(now: 30) { _ in true }
    #expect(supervision.takeSteps() == [.start(0)])
  }
}
