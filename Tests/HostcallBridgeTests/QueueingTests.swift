import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Calling*: who gets a call, and what waits.
@Suite struct QueueingTests {
  private let harness = BridgeHarness()

  @Test func firstComeFirstServedWhateverTheCaller() throws {
    let worker = harness.connect()
    try worker.register("a", concurrency: 2)
    let callers = [harness.connect(), harness.connect(), harness.connect()]
    for number in 0..<9 { callers[number % 3].call("a", request: UInt64(number + 1), [UInt8(number)]) }
    var open = [try worker.next(.invoke), try worker.next(.invoke)]
    #expect(open.map(\.payload) == [[0], [1]])
    for number in 2..<9 {
      worker.expectNothing()
      worker.complete(open.remove(at: number % 2).id)
      let next = try worker.next(.invoke)
      #expect(next.payload == [UInt8(number)])
      open.append(next)
    }
  }

  @Test func theFewestRunningGetsIt() throws {
    let caller = harness.connect()
    let busy = harness.connect()
    try busy.register("other")
    caller.call("other", request: 1)
    _ = try busy.next(.invoke)
    let idle = harness.connect()
    try busy.register("a")
    try idle.register("a")
    caller.call("a", request: 2)
    _ = try idle.next(.invoke)
    caller.call("a", request: 3)
    caller.call("a", request: 4)
    _ = try busy.next(.invoke)
    _ = try idle.next(.invoke)
  }

  @Test func tiesGoRound() throws {
    let caller = harness.connect()
    let workers = (0..<3).map { _ in harness.connect() }
    for worker in workers { try worker.register("a") }
    var order: [Int] = []
    for request in 1...9 as ClosedRange<UInt64> {
      caller.call("a", request: request)
      let place = try #require(workers.firstIndex { !$0.inbox.isEmpty })
      order.append(place)
      workers[place].complete(try workers[place].next(.invoke).id)
    }
    #expect(order == [0, 1, 2, 0, 1, 2, 0, 1, 2])
  }

  @Test func tiesGoRoundThoughAWorkerGoes() throws {
    let caller = harness.connect()
    let workers = (0..<4).map { _ in harness.connect() }
    var handles: [UInt32] = []
    for worker in workers { handles.append(try worker.register("a")) }
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    for worker in workers[..<2] { worker.complete(try worker.next(.invoke).id) }
    workers[0].unregister(handles[0])
    for (request, place) in [(3, 2), (4, 3), (5, 1), (6, 2)] as [(UInt64, Int)] {
      caller.call("a", request: request)
      workers[place].complete(try workers[place].next(.invoke).id)
    }
  }

  @Test func aWorkerAtItsConcurrencyIsPassedOver() throws {
    let caller = harness.connect()
    let small = harness.connect()
    let large = harness.connect()
    try small.register("a", concurrency: 1)
    try large.register("a", concurrency: 3)
    for request in 1...5 as ClosedRange<UInt64> { caller.call("a", request: request) }
    #expect(small.takeAll().count == 1 && large.takeAll().count == 3)
  }

  @Test func concurrencyIsForEachName() throws {
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    try worker.register("b", concurrency: 1)
    for (request, name) in ["a", "a", "b", "b"].enumerated() {
      worker.call(name, request: UInt64(request + 1), [UInt8(request)])
    }
    #expect(worker.takeAll().map(\.payload) == [[0], [2]])
  }

  @Test func anAbandonedCallHoldsItsPlace() throws {
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    let caller = harness.connect()
    caller.call("a", request: 1, timeout: 10)
    let first = try worker.next(.invoke)
    harness.advance(milliseconds: 10)
    _ = try worker.next(.cancel)
    caller.call("a", request: 2)
    worker.expectNothing()
    caller.cancel(2)
    caller.call("a", request: 3)
    caller.gone()
    worker.expectNothing()
    let other = harness.connect()
    other.call("a", request: 1, [1])
    worker.expectNothing()
    worker.complete(first.id, .cancelled)
    #expect(try worker.next(.invoke).payload == [1])
    worker.expectNothing()
  }

  @Test func callsThatComeAtOnceGoOutInPortionsThatTheWorkerCanTake() throws {
    let harness = BridgeHarness { $0.outputBytesPerConnection = 65_536 }
    let caller = harness.connect()
    let payload = [UInt8](repeating: 1, count: 50_000)
    for request in 1...6 as ClosedRange<UInt64> { caller.call("a", request: request, payload, flags: .wait) }
    let worker = harness.connect()
    try worker.register("a")
    // Two frames are more than the limit; the others wait until the shell has written.
    let first = worker.takeAll()
    #expect(first.count == 2)
    harness.hasTaken(worker, allBut: 40_000)
    #expect(worker.takeAll().count == 1)
    harness.hasTaken(worker, allBut: 0)
    #expect(worker.takeAll().count == 2)
    harness.hasTaken(worker, allBut: 65_537)
    worker.expectNothing()
    harness.hasTaken(worker, allBut: 65_536)
    #expect(worker.takeAll().count == 1)
  }

  @Test func aBackloggedWorkerGetsNothing() throws {
    let caller = harness.connect()
    let slow = harness.connect()
    try slow.register("a")
    harness.bridge.peerIsBacklogged(slow.id)
    caller.call("a", request: 1, [1])
    caller.call("a", request: 2, [2])
    slow.expectNothing()
    let other = harness.connect()
    try other.register("a", concurrency: 1)
    #expect(try other.next(.invoke).payload == [1])
    harness.fact { $0.peerCanTakeMore(slow.id, now: harness.now, into: &$1) }
    #expect(try slow.next(.invoke).payload == [2])
    harness.fact { $0.peerCanTakeMore(slow.id, now: harness.now, into: &$1) }
    slow.expectNothing()
  }

  @Test func aCallWhoseDeadlineHasPassedIsNotStarted() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    caller.call("a", request: 1)
    caller.call("a", request: 2, [2], timeout: 10)
    caller.call("a", request: 3, [3], timeout: 50)
    harness.pass(milliseconds: 10)
    worker.complete(try worker.next(.invoke).id)
    try caller.expectResult(.ok, request: 1)
    try caller.expectResult(.timeout, request: 2, containing: "10 ms")
    #expect(try worker.next(.invoke).payload == [3])
    harness.hitTime()
    caller.expectNothing()
  }

  @Test func aCancelledCallLeavesTheQueue() throws {
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    for request in 1...4 as ClosedRange<UInt64> { worker.call("a", request: request, [UInt8(request)]) }
    let first = try worker.next(.invoke)
    worker.cancel(2)
    let result = try worker.expectResult(.cancelled, request: 2)
    #expect(result.header.call != 0 && result.header.call != first.id)
    worker.complete(first.id)
    _ = try worker.next(.result)
    #expect(try worker.next(.invoke).payload == [3])
    worker.complete(result.header.call)
    try worker.expectRejected(.unknownCall, result.header.call)
  }
}
