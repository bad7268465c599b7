import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Streams*.
@Suite struct StreamTests {
  private let harness = BridgeHarness { $0.streamItemsAhead = 8 }

  /// A worker and a caller with a call between them.
  private func start(
    credit: UInt32 = 0, flags: FrameFlags = []
  ) throws -> (worker: HarnessPeer, caller: HarnessPeer, call: UInt64) {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("numbers")
    caller.stream("numbers", request: 1, credit: credit, flags: flags)
    let invoke = try worker.next(.invoke)
    #expect(invoke.header.aux == min(credit, 8))
    #expect(invoke.flags == flags.intersection([.open, .idempotent]))
    return (worker, caller, invoke.id)
  }

  // MARK: Results

  @Test func itemsComeInOrderAndBeforeTheResult() throws {
    let (worker, caller, call) = try start(credit: 3)
    worker.item(call, 0, "one", encoding: .json)
    worker.item(call, 1, "two")
    worker.complete(call, .ok, Array("done".utf8))
    let first = try caller.next(.item)
    #expect(first.id == 1 && first.header.aux == 0 && first.text == "one" && first.header.encoding == .json)
    try caller.expectItem(1, 1, "two")
    try caller.expectResult(.ok, request: 1)
    // Nothing comes after the RESULT.
    worker.item(call, 2, "three")
    try worker.expectRejected(.duplicate, call)
    caller.expectNothing()
  }

  @Test func creditIsPassedOnAsItComes() throws {
    let (worker, caller, call) = try start(credit: 1)
    worker.item(call, 0)
    try caller.expectItem(1, 0)
    caller.credit(1, 2)
    try worker.expectCredit(call, 2)
    worker.item(call, 1)
    worker.item(call, 2)
    try caller.expectItem(1, 1)
    try caller.expectItem(1, 2)
    worker.item(call, 3)
    try worker.expectGoaway(containing: "without credit")
  }

  @Test func aWorkerGetsNoFurtherAheadThanTheLimit() throws {
    let (worker, caller, call) = try start(credit: 1_000_000)
    caller.credit(1, .max)
    worker.expectNothing()
    for place in 0..<3 { worker.item(call, UInt32(place)) }
    // Half of what it may have is worth a frame.
    worker.expectNothing()
    worker.item(call, 3)
    try worker.expectCredit(call, 4)
  }

  @Test func aCallerThatDoesNotReadHoldsCreditBack() throws {
    let (worker, caller, call) = try start(credit: 8)
    harness.bridge.peerIsBacklogged(caller.id)
    for place in 0..<8 { worker.item(call, UInt32(place)) }
    caller.credit(1, 8)
    worker.expectNothing()
    harness.fact { $0.peerCanTakeMore(caller.id, now: harness.now, into: &$1) }
    try worker.expectCredit(call, 8)
  }

  @Test func aPlainCallHasNoItemsWhateverItsCallerSaysLater() throws {
    let (worker, caller, call) = try start()
    caller.credit(1, 5)
    worker.expectNothing()
    worker.item(call, 0)
    try worker.expectGoaway(containing: "without credit")
    worker.gone()
    try caller.expectResult(.workerLost, request: 1)
  }

  @Test func itemsOutOfOrderAreAnError() throws {
    for place in [1, UInt32.max] {
      let (worker, caller, call) = try start(credit: 2)
      worker.item(call, place)
      try worker.expectGoaway(containing: "where 0 is next")
      worker.gone()
      try caller.expectResult(.workerLost, request: 1)
    }
  }

  @Test func theLastArgumentIsTheCallersToSay() throws {
    let (worker, _, call) = try start(credit: 2)
    worker.item(call, 0, last: true)
    try worker.expectGoaway(containing: "LAST")
  }

  // MARK: Arguments

  @Test func argumentsFollowAsFarAsTheWorkerAllows() throws {
    let (worker, caller, call) = try start(flags: .open)
    worker.credit(call, 2)
    try caller.expectCredit(1, 2)
    caller.item(1, 0, "a")
    caller.item(1, 1, "b")
    try worker.expectItem(call, 0, "a")
    try worker.expectItem(call, 1, "b")
    worker.credit(call, 1)
    try caller.expectCredit(1, 1)
    caller.item(1, 2, "c", last: true)
    try worker.expectItem(call, 2, "c", last: true)
    worker.complete(call)
    try caller.expectResult(.ok, request: 1)
  }

  @Test func argumentsWithoutCreditAreAnError() throws {
    let (worker, caller, call) = try start(flags: .open)
    caller.item(1, 0, "a")
    try caller.expectGoaway(containing: "without credit")
    caller.gone()
    #expect(try worker.next(.cancel).id == call)
  }

  @Test func argumentsOfACallThatIsNotOpenAreAnError() throws {
    let (_, caller, _) = try start(credit: 1)
    caller.item(1, 0)
    try caller.expectGoaway(containing: "not OPEN")
  }

  @Test func nothingFollowsTheLastArgument() throws {
    let (worker, caller, call) = try start(flags: .open)
    worker.credit(call, 3)
    try caller.expectCredit(1, 3)
    caller.item(1, 0, "a", last: true)
    try worker.expectItem(call, 0, "a", last: true)
    caller.item(1, 1, "b")
    try caller.expectGoaway(containing: "after its last")
  }

  @Test func aBareEndNeedsNoCredit() throws {
    let (worker, caller, call) = try start(flags: .open)
    worker.credit(call, 1)
    try caller.expectCredit(1, 1)
    caller.item(1, 0, "a")
    try worker.expectItem(call, 0, "a")
    caller.item(1, 1, last: true)
    try worker.expectItem(call, 1, last: true)
  }

  @Test func theEndOfNoArgumentsWaitsForTheWorkerAndIsToldToTheNextOne() throws {
    let caller = harness.connect()
    caller.stream("numbers", request: 1, credit: 5, flags: [.open, .wait, .idempotent])
    caller.item(1, 0, last: true)
    for _ in 0..<2 {
      let worker = harness.connect()
      try worker.register("numbers")
      let invoke = try worker.next(.invoke)
      #expect(invoke.header.aux == 5)
      try worker.expectItem(invoke.id, 0, last: true)
      worker.gone()
    }
    caller.expectNothing()
  }

  @Test func aWorkerThatDoesNotReadHoldsCreditBack() throws {
    let (worker, caller, call) = try start(flags: .open)
    harness.bridge.peerIsBacklogged(worker.id)
    worker.credit(call, 4)
    caller.expectNothing()
    harness.fact { $0.peerCanTakeMore(worker.id, now: harness.now, into: &$1) }
    try caller.expectCredit(1, 4)
  }

  // MARK: Ends

  @Test func aStreamThatHasBegunIsNotSentAgain() throws {
    for begins in [true, false] {
      let (worker, caller, call) = try start(credit: 2, flags: [.idempotent, .wait])
      if begins {
        worker.item(call, 0)
        try caller.expectItem(1, 0)
      }
      worker.gone()
      if begins {
        try caller.expectResult(.workerLost, request: 1)
      } else {
        caller.expectNothing()
        let other = harness.connect()
        try other.register("numbers")
        #expect(try other.next(.invoke).header.aux == 2)
        other.complete(call)
        try caller.expectResult(.ok, request: 1)
        other.gone()
      }
      caller.gone()
    }
  }

  @Test func creditOfTheWorkerBeginsTheStreamToo() throws {
    let (worker, caller, call) = try start(flags: [.open, .idempotent, .wait])
    worker.credit(call, 1)
    try caller.expectCredit(1, 1)
    worker.gone()
    try caller.expectResult(.workerLost, request: 1)
    // What is on the way to a call that has ended does nothing.
    caller.item(1, 0, "late")
    caller.credit(1, 1)
    caller.expectNothing()
    #expect(!caller.isClosed)
  }

  @Test func afterACancelItemsAreRejectedAndTheCallerGetsNone() throws {
    let (worker, caller, call) = try start(credit: 5, flags: .open)
    caller.cancel(1)
    try caller.expectResult(.cancelled, request: 1)
    #expect(try worker.next(.cancel).id == call)
    worker.item(call, 0)
    try worker.expectRejected(.late, call)
    worker.credit(call, 3)
    try worker.expectRejected(.late, call)
    worker.complete(call, .cancelled)
    worker.expectNothing()
    caller.expectNothing()
    #expect(harness.bridge.streams.count == 0)
  }

  @Test func anItemForNoCallIsRejectedForAWorkerAndNothingForACaller() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    worker.item(99 << 20, 0)
    try worker.expectRejected(.unknownCall, 99 << 20)
    caller.item(99 << 20, 0)
    caller.credit(99 << 20, 1)
    caller.expectNothing()
    // Who is both may mean either.
    worker.call("a", request: 1 << 63)
    let invoke = try worker.next(.invoke)
    worker.complete(invoke.id)
    try worker.expectResult(.ok, request: 1 << 63)
    worker.item(1 << 63, 0)
    worker.expectNothing()
    worker.item(invoke.id, 0)
    try worker.expectRejected(.duplicate, invoke.id)
  }

  @Test func callerAndWorkerMayBeOnePeer() throws {
    let peer = harness.connect()
    try peer.register("self")
    let request: UInt64 = 1 << 63 | 5
    peer.stream("self", request: request, credit: 2, flags: .open)
    let call = try peer.next(.invoke).id
    peer.credit(call, 1)
    try peer.expectCredit(request, 1)
    peer.item(request, 0, "in", last: true)
    try peer.expectItem(call, 0, "in", last: true)
    peer.item(call, 0, "out")
    try peer.expectItem(request, 0, "out")
    peer.complete(call)
    try peer.expectResult(.ok, request: request)
  }

  @Test func noCorrelationIDHasTheHighestBit() {
    #expect(CorrelationID(slot: .max >> 12, turn: CorrelationID.largestTurn).rawValue >> 63 == 0)
  }

  @Test func aCallWithoutReplyHasNoItems() throws {
    let worker = harness.connect()
    try worker.register("a")
    let caller = harness.connect()
    caller.stream("a", request: 1, credit: 1, flags: .noReply)
    caller.stream("a", request: 2, flags: [.noReply, .open])
    worker.expectNothing()
    caller.expectNothing()
    #expect(harness.bridge.statsReport().callsRefused == 2)
  }
}
