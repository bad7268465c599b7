import HostcallWire
import Testing

@testable import HostcallBridge

/// Each call's steps are told in order, with one end, where somebody wants to know.
@Suite struct CallNoticeTests {
  private let harness = BridgeHarness()

  private func steps(of call: UInt64) -> [CallNotice.Step] {
    harness.callNotices.filter { $0.correlationID == call }.map(\.step)
  }

  /// A call that a worker runs.
  private func runningCall() throws -> (worker: HarnessPeer, caller: HarnessPeer, invoke: ReceivedFrame) {
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a")
    caller.call("a", request: 1)
    return (worker, caller, try worker.next(.invoke))
  }

  @Test func aCallThatIsCompleted() throws {
    harness.bridge.tracesCalls = true
    let (worker, caller, invoke) = try runningCall()
    worker.complete(invoke.id, .failed)
    try caller.expectResult(.failed, request: 1)
    #expect(steps(of: invoke.id) == [.accepted, .dispatched, .ended(.failed)])
    #expect(harness.callNotices.allSatisfy { $0.function == "a" && $0.caller == caller.id })
    #expect(harness.callNotices.map(\.worker) == [.nobody, worker.id, worker.id])
  }

  @Test func aCallThatWaitsAndRunsOut() throws {
    harness.bridge.tracesCalls = true
    let caller = harness.connect()
    caller.call("a", request: 1, flags: .wait, timeout: 10)
    harness.advance(milliseconds: 10)
    let result = try caller.expectResult(.timeout, request: 1)
    #expect(steps(of: result.header.call) == [.accepted, .ended(.timeout)])
  }

  @Test func aCallThatLosesItsWorker() throws {
    harness.bridge.tracesCalls = true
    let (worker, caller, invoke) = try runningCall()
    worker.gone()
    try caller.expectResult(.workerLost, request: 1)
    #expect(steps(of: invoke.id) == [.accepted, .dispatched, .ended(.workerLost)])
  }

  @Test func nothingIsToldWhereNobodyWantsToKnow() throws {
    let (worker, caller, invoke) = try runningCall()
    worker.complete(invoke.id, .ok)
    try caller.expectResult(.ok, request: 1)
    #expect(harness.callNotices.isEmpty)
  }
}
