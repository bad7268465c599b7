import HostcallWire
import Testing

@testable import HostcallBridge

/// Every limit of ``Limits`` that the bridge keeps: meeting it is an answer. Timeouts, resends, remembered outcomes and
/// the time for HELLO are tested with their rules.
@Suite struct LimitsTests {
  @Test func connections() throws {
    let harness = BridgeHarness { $0.connections = 2 }
    let first = harness.connect()
    _ = try #require(harness.connectWithoutHello())
    #expect(harness.connectWithoutHello() == nil)
    _ = try #require(harness.connectWithoutHello(isLocal: true))
    #expect(harness.connectWithoutHello() == nil)
    first.gone()
    _ = harness.connect()
    #expect(harness.connectWithoutHello() == nil)
  }

  @Test func callsInFlightPerConnection() throws {
    let harness = BridgeHarness { $0.callsInFlightPerConnection = 2 }
    let caller = harness.connect()
    let other = harness.connect()
    try other.register("a", concurrency: 1)
    caller.call("a", request: 1)
    caller.call("a", request: 2)
    caller.call("a", request: 3)
    try caller.expectResult(.overloaded, request: 3, containing: "2 calls in flight")
    other.call("a", request: 3)
    other.complete(try other.next(.invoke).id)
    try caller.expectResult(.ok, request: 1)
    caller.call("a", request: 4)
    caller.expectNothing()
    caller.call("a", request: 5)
    try caller.expectResult(.overloaded, request: 5)
  }

  @Test func callsInFlight() throws {
    let harness = BridgeHarness { $0.callsInFlight = 2 }
    let worker = harness.connect()
    try worker.register("a")
    let callers = [harness.connect(), harness.connect(), harness.connect()]
    for caller in callers { caller.call("a", request: 1) }
    try callers[2].expectResult(.overloaded, request: 1, containing: "2 calls in flight")
    worker.complete(try worker.next(.invoke).id)
    callers[2].call("a", request: 1)
    callers[2].expectNothing()
    try callers[0].expectResult(.ok, request: 1)
    callers[0].call("a", request: 2)
    try callers[0].expectResult(.overloaded, request: 2)
  }

  @Test(arguments: [0, 1, 3])
  func queuedCallsPerFunction(most: Int) throws {
    let harness = BridgeHarness { $0.queuedCallsPerFunction = most }
    let caller = harness.connect()
    let worker = harness.connect()
    try worker.register("a", concurrency: 1)
    try worker.register("b", concurrency: 1)
    for name in ["a", "b", "waiting"] {
      let isWaiting = name == "waiting"
      let first: UInt64 = name == "a" ? 10 : name == "b" ? 20 : 30
      let taken = UInt64(most + (isWaiting ? 0 : 1))
      for request in first..<(first + taken) { caller.call(name, request: request, flags: isWaiting ? .wait : []) }
      caller.expectNothing()
      caller.call(name, request: first + taken, flags: .wait)
      try caller.expectResult(.overloaded, request: first + taken, containing: "\(most) calls wait")
    }
  }

  /// Calls that come from several queues into one may be more than may wait there: those that find a place start, and
  /// then the last ones end.
  @Test func queuedCallsPerFunctionWhereQueuesMeet() throws {
    let harness = BridgeHarness { $0.queuedCallsPerFunction = 2 }
    let caller = harness.connect()
    for (place, name) in ["a.b", "a.c", "a.b", "a.c", "a.d", "a.d"].enumerated() {
      caller.call(name, request: UInt64(place + 1), [UInt8(place + 1)], flags: .wait)
    }
    let worker = harness.connect()
    try worker.register("a.*", concurrency: 3)
    #expect(worker.takeAll().map(\.payload) == [[1], [2], [3]])
    try caller.expectResult(.overloaded, request: 6, containing: "a.d")
    caller.expectNothing()
    let exact = harness.connect()
    let handle = try exact.register("a.d", concurrency: 2)
    #expect(exact.takeAll().map(\.payload) == [[5]])
    for request in 7...9 as ClosedRange<UInt64> { caller.call("a.d", request: request, flags: .wait) }
    exact.unregister(handle)
    try caller.expectResult(.overloaded, request: 9)
    caller.expectNothing()
  }

  @Test func storedPayloadBytes() throws {
    let harness = BridgeHarness { $0.storedPayloadBytes = 100 }
    let worker = harness.connect()
    let caller = harness.connect()
    try worker.register("a", concurrency: 1)
    try worker.register("again", ["idempotent": "true"])
    caller.call("a", request: 1, Array(repeating: 0, count: 500))
    let invoke = try worker.next(.invoke)
    caller.call("a", request: 2, Array(repeating: 0, count: 93), metadata: ["k": "vvv"])
    caller.call("a", request: 3)
    caller.expectNothing()
    #expect(harness.bridge.statsReport().storedPayloadBytes == 100)
    caller.call("a", request: 4, [1])
    try caller.expectResult(.overloaded, request: 4, containing: "100 are the most")
    caller.call("again", request: 5, [1])
    try caller.expectResult(.overloaded, request: 5)
    caller.call("b", request: 6, [1], flags: .wait)
    try caller.expectResult(.overloaded, request: 6)
    worker.complete(invoke.id)
    try caller.expectResult(.ok, request: 1)
    #expect(harness.bridge.statsReport().storedPayloadBytes == 0)
    caller.call("again", request: 5, Array(repeating: 0, count: 60))
    caller.call("again", request: 6, Array(repeating: 0, count: 41))
    try caller.expectResult(.overloaded, request: 6)
    caller.cancel(5)
    #expect(harness.bridge.statsReport().storedPayloadBytes == 0)
  }

  @Test func registrationsPerConnection() throws {
    let harness = BridgeHarness { $0.registrationsPerConnection = 2 }
    let worker = harness.connect()
    let handle = try worker.register("a")
    try worker.register("b.*")
    worker.sendRegister("c", request: 3)
    try worker.expectResult(.overloaded, request: 3, containing: "2 registrations")
    try harness.connect().register("c")
    worker.unregister(handle)
    _ = worker.take()
    try worker.register("c")
  }

  @Test func functions() throws {
    let harness = BridgeHarness { $0.functions = 3 }
    let peer = harness.connect()
    let handle = try peer.register("p.*")
    _ = try peer.bind("b")
    peer.call("p.x", request: 1)
    _ = try peer.next(.invoke)
    peer.sendRegister("c", request: 2)
    try peer.expectResult(.overloaded, request: 2, containing: "3 names")
    peer.send(FrameHeader(kind: .bind, id: 3), name: "c")
    try peer.expectResult(.overloaded, request: 3)
    peer.call("c", request: 4, flags: .wait)
    try peer.expectResult(.overloaded, request: 4)
    peer.call("p.y", request: 5)
    try peer.expectResult(.overloaded, request: 5)
    peer.call("c", request: 6)
    try peer.expectResult(.notFound, request: 6)
    peer.call("p.x", request: 7)
    let invoke = try peer.next(.invoke)
    try peer.register("b")
    peer.unregister(handle)
    try peer.expectResult(.ok, request: 901)
    peer.call("p.z", request: 8, flags: .wait)
    try peer.expectResult(.overloaded, request: 8)
    peer.complete(invoke.id)
  }

  @Test func boundHandlesPerConnection() throws {
    let harness = BridgeHarness { $0.boundHandlesPerConnection = 2 }
    let peer = harness.connect()
    let first = try peer.bind("a")
    _ = try peer.bind("b")
    peer.send(FrameHeader(kind: .bind, id: 3), name: "c")
    try peer.expectResult(.overloaded, request: 3, containing: "2 bound names")
    #expect(try peer.bind("a") == first)
    _ = try harness.connect().bind("c")
    #expect(harness.bridge.statsReport().functions == 3)
  }

  @Test func concurrencyAndItsDefault() throws {
    let harness = BridgeHarness {
      $0.defaultConcurrency = 2
      $0.concurrency = 4
    }
    let worker = harness.connect()
    for (name, asked) in [("a", 0), ("b", 3), ("c", 4), ("d", 5), ("e", .max)] as [(String, UInt32)] {
      try worker.register(name, concurrency: asked)
    }
    #expect(harness.bridge.functionReports().map(\.concurrency) == [2, 3, 4, 4, 4])
    for request in 1...6 as ClosedRange<UInt64> { worker.call("d", request: request) }
    #expect(worker.takeAll().count == 4)
  }

  @Test func everyLimitHasAKeyAndItsDefaultIsInRange() {
    let limits = Limits()
    #expect(Limits.keys.count == Mirror(reflecting: limits).children.count)
    #expect(Set(Limits.keys.map(\.name)).count == Limits.keys.count)
    #expect(Limits.keys.allSatisfy { $0.range.contains(limits[keyPath: $0.keyPath]) })
  }
}
