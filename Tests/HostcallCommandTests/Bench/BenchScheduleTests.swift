import Testing

@testable import hostcall

/// The open loop's account, with times that the tests choose.
@Suite("When calls of bench are due")
struct BenchScheduleTests {
  private func schedule(_ calls: Int, connections: Int = 1, places: Int = 10) -> ArrivalSchedule {
    ArrivalSchedule(callsPerSecond: 100, calls: calls, connections: connections, places: places)
  }

  @Test func callsAreDueAtEvenTimesFromTheStart() {
    var schedule = schedule(3)
    #expect(schedule.next(now: .zero) == .send(connection: 0, due: .zero))
    #expect(schedule.next(now: .zero) == .wait(until: .milliseconds(10)))
    #expect(schedule.next(now: .milliseconds(9)) == .wait(until: .milliseconds(10)))
    #expect(schedule.next(now: .milliseconds(10)) == .send(connection: 0, due: .milliseconds(10)))
    #expect(schedule.next(now: .milliseconds(20)) == .send(connection: 0, due: .milliseconds(20)))
    #expect(schedule.next(now: .milliseconds(20)) == .over)
    #expect(schedule.unsent(now: .seconds(1)) == 0)
  }

  @Test func aLateSenderSendsAllThatIsDueAndLatencyCountsFromWhenItWas() {
    var schedule = schedule(100)
    let due = (0..<4).map { _ in schedule.next(now: .milliseconds(35)) }
    #expect(due == [0, 10, 20, 30].map { .send(connection: 0, due: .milliseconds($0)) })
    #expect(schedule.next(now: .milliseconds(35)) == .wait(until: .milliseconds(40)))
  }

  @Test func whatHasNoRoomWaitsAndStaysDueWhenItWas() {
    var schedule = schedule(100, places: 1)
    #expect(schedule.next(now: .zero) == .send(connection: 0, due: .zero))
    #expect(schedule.next(now: .milliseconds(10)) == .full)
    #expect(schedule.unsent(now: .milliseconds(10)) == 1)
    schedule.answered(connection: 0)
    #expect(schedule.next(now: .milliseconds(500)) == .send(connection: 0, due: .milliseconds(10)))
    #expect(schedule.next(now: .milliseconds(500)) == .full)
    // Those due at 20, 30 and so on to 500 milliseconds.
    #expect(schedule.unsent(now: .milliseconds(500)) == 49)
  }

  @Test func whatHasNoRoomByTheEndIsNeverSent() {
    var schedule = schedule(5, places: 2)
    #expect(schedule.next(now: .milliseconds(49)) == .send(connection: 0, due: .zero))
    #expect(schedule.next(now: .milliseconds(49)) == .send(connection: 0, due: .milliseconds(10)))
    #expect(schedule.next(now: .milliseconds(49)) == .full)
    #expect(schedule.next(now: .milliseconds(50)) == .over)
    #expect(schedule.sent == 2)
    #expect(schedule.unsent(now: .milliseconds(50)) == 3)
    #expect(schedule.unsent(now: .seconds(60)) == 3)
  }

  @Test func whatHasRoomIsSentAlsoAfterTheEnd() {
    var schedule = schedule(2)
    #expect(schedule.next(now: .seconds(9)) == .send(connection: 0, due: .zero))
    #expect(schedule.next(now: .seconds(9)) == .send(connection: 0, due: .milliseconds(10)))
    #expect(schedule.next(now: .seconds(9)) == .over)
    #expect(schedule.unsent(now: .seconds(9)) == 0)
  }

  @Test func connectionsTakeTurnsAndAFullOneIsPassedOver() {
    var schedule = schedule(100, connections: 3, places: 2)
    func connection() -> Int? {
      if case .send(let connection, _) = schedule.next(now: .milliseconds(500)) { connection } else { nil }
    }
    #expect((0..<6).map { _ in connection() } == [0, 1, 2, 0, 1, 2])
    #expect(connection() == nil)
    schedule.answered(connection: 1)
    #expect(connection() == 1)
    #expect(connection() == nil)
  }

  @Test func anInterruptedRunOwesOnlyWhatWasDue() {
    var schedule = schedule(1_000)
    #expect(schedule.unsent(now: .milliseconds(-1)) == 0)
    #expect(schedule.unsent(now: .zero) == 1)
    #expect(schedule.next(now: .zero) == .send(connection: 0, due: .zero))
    #expect(schedule.unsent(now: .milliseconds(25)) == 2)
  }

  @Test func aRunHasAsManyCallsAsFitItsTime() {
    func plan(_ rate: Double, calls: Int? = nil, seconds: Double? = nil) -> Int {
      BenchPlan(
        load: .open(callsPerSecond: rate), connections: 1, calls: calls, seconds: seconds, sizeBytes: 0, timeout: nil,
        warmUpCalls: 0
      ).callsDue(callsPerSecond: rate)
    }
    #expect(plan(2, seconds: 1) == 2)
    #expect(plan(2, seconds: 1.25) == 3)
    #expect(plan(0.5, seconds: 1) == 1)
    #expect(plan(100, calls: 7) == 7)
    #expect(plan(100, calls: 7, seconds: 0.05) == 5)
  }

  @Test func theOpenLoopHasBoundedCallsInFlight() {
    func places(connections: Int, sizeBytes: Int, allowed: Int = 16_384) -> Int {
      BenchPlan(
        load: .open(callsPerSecond: 1), connections: connections, calls: nil, seconds: 1, sizeBytes: sizeBytes,
        timeout: nil, warmUpCalls: 0
      ).placesPerConnection(allowed: allowed)
    }
    #expect(places(connections: 1, sizeBytes: 64) == 4_096)
    #expect(places(connections: 1, sizeBytes: 0, allowed: 10) == 10)
    #expect(places(connections: 4, sizeBytes: 64) == 1_024)
    #expect(places(connections: 4, sizeBytes: 1 << 20) == 64)
    #expect(places(connections: 1_000, sizeBytes: 16 << 20) == 1)
  }

  @Test func ticketsEndWithTheirNumberOrTheirTime() {
    var counted = CallTickets(calls: 2, length: nil)
    let counts = (0..<4).map { _ in counted.take(now: .seconds(1_000)) }
    #expect(counts == [true, true, false, false])
    #expect(counted.taken == 2)
    var timed = CallTickets(calls: nil, length: .seconds(1))
    let taken = [0, 999, 1_000].map { timed.take(now: .milliseconds($0)) }
    #expect(taken == [true, true, false])
    #expect(timed.taken == 2)
  }
}
