import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Registering*: which registration a name means.
@Suite struct PatternTests {
  private let harness = BridgeHarness()

  @Test func exactWinsAndThenTheLongest() throws {
    let worker = harness.connect()
    let caller = harness.connect()
    var handles: [String: UInt32] = [:]
    for name in ["*", "a.*", "a.b.*", "a.b.c"] { handles[name] = try worker.register(name) }
    let meant = [
      "a.b.c": "a.b.c", "a.b.d": "a.b.*", "a.b.c.d": "a.b.*", "a.b": "a.*", "a.x": "a.*", "a": "*", "ab.c": "*",
      "b.a.b.c": "*",
    ]
    for (request, (name, pattern)) in meant.enumerated() {
      caller.call(name, request: UInt64(request + 1), [1])
      let invoke = try worker.next(.invoke)
      #expect(invoke.header.function == handles[pattern], "\(name)")
      #expect(invoke.name == (pattern == name ? "" : name))
      #expect(invoke.payload == [1])
    }
  }

  @Test func aPatternIsNotMetByItsOwnPrefix() throws {
    let worker = harness.connect()
    try worker.register("a.*")
    worker.call("a", request: 1)
    try worker.expectResult(.notFound, request: 1)
  }

  @Test func theDaemonsNamesAreMetByNoPattern() throws {
    let worker = harness.connect()
    try worker.register("*")
    worker.call("hostcall.echo", request: 1)
    try worker.expectResult(.notFound, request: 1)
    worker.call("hostcall.echo", request: 2, flags: .wait, timeout: 10)
    try harness.connect().register("*")
    harness.advance(milliseconds: 10)
    try worker.expectResult(.timeout, request: 2)
    worker.call("hostcall", request: 3)
    #expect(try worker.next(.invoke).name == "hostcall")
  }

  @Test func aBoundNameFollowsWhatComesAndGoes() throws {
    let caller = harness.connect()
    let handle = try caller.bind("a.b")
    let wide = harness.connect()
    let near = harness.connect()
    let exact = harness.connect()
    caller.call(handle: handle, request: 1)
    try caller.expectResult(.notFound, request: 1, containing: "a.b")
    let wideHandle = try wide.register("*")
    caller.call(handle: handle, request: 2)
    _ = try wide.next(.invoke)
    let nearHandle = try near.register("a.*")
    caller.call(handle: handle, request: 3)
    _ = try near.next(.invoke)
    let exactHandle = try exact.register("a.b")
    caller.call(handle: handle, request: 4)
    _ = try exact.next(.invoke)
    near.unregister(nearHandle)
    exact.unregister(exactHandle)
    caller.call(handle: handle, request: 5)
    _ = try wide.next(.invoke)
    wide.unregister(wideHandle)
    caller.call(handle: handle, request: 6)
    try caller.expectResult(.notFound, request: 6)
  }

  @Test func callsQueuedOnAPatternMoveToTheirNameWhenItAppears() throws {
    let wide = harness.connect()
    let caller = harness.connect()
    try wide.register("a.*", concurrency: 1)
    caller.call("a.x", request: 1)
    for request in 2...5 as ClosedRange<UInt64> {
      caller.call(request % 2 == 0 ? "a.b" : "a.c", request: request, [UInt8(request)])
    }
    let first = try wide.next(.invoke)
    let exact = harness.connect()
    try exact.register("a.b")
    #expect(try exact.next(.invoke).payload == [2])
    #expect(try exact.next(.invoke).payload == [4])
    exact.expectNothing()
    wide.complete(first.id)
    #expect(try wide.next(.invoke).payload == [3])
  }

  @Test func callsQueuedOnAShortPatternMoveToALongerOne() throws {
    let wide = harness.connect()
    let caller = harness.connect()
    try wide.register("*", concurrency: 1)
    for (request, name) in ["x", "a.b", "x", "a.b.c"].enumerated() {
      caller.call(name, request: UInt64(request + 1), [UInt8(request)])
    }
    _ = try wide.next(.invoke)
    let near = harness.connect()
    try near.register("a.*")
    let invokes = [try near.next(.invoke), try near.next(.invoke)]
    #expect(invokes.map(\.name) == ["a.b", "a.b.c"] && invokes.map(\.payload) == [[1], [3]])
    near.expectNothing()
  }

  @Test func waitingCallsAreFoundByANewPatternInTheOrderInWhichTheyCame() throws {
    let caller = harness.connect()
    for (request, name) in ["a.z", "a.b", "c", "a.z", "a.b"].enumerated() {
      caller.call(name, request: UInt64(request + 1), [UInt8(request)], flags: .wait)
    }
    caller.expectNothing()
    let worker = harness.connect()
    try worker.register("a.*", concurrency: 3)
    #expect(try (0..<3).map { _ in try worker.next(.invoke).payload } == [[0], [1], [3]])
    worker.expectNothing()
    try worker.register("c")
    #expect(try worker.next(.invoke).payload == [2])
  }

  @Test func whenTheNameGoesItsQueuedCallsGoToThePattern() throws {
    let wide = harness.connect()
    let exact = harness.connect()
    let caller = harness.connect()
    try wide.register("a.*", concurrency: 2)
    let handle = try exact.register("a.b", concurrency: 1)
    for request in 1...4 as ClosedRange<UInt64> { caller.call("a.b", request: request, [UInt8(request)]) }
    _ = try exact.next(.invoke)
    exact.unregister(handle)
    let invokes = [try wide.next(.invoke), try wide.next(.invoke)]
    #expect(invokes.map(\.payload) == [[2], [3]] && invokes.map(\.name) == ["a.b", "a.b"])
    wide.complete(invokes[0].id)
    #expect(try wide.next(.invoke).payload == [4])
  }

  @Test func whenThePatternGoesItsQueuedCallsGoToAShorterOneOrWaitOrEnd() throws {
    let near = harness.connect()
    let caller = harness.connect()
    let handle = try near.register("a.*", concurrency: 1)
    caller.call("a.x", request: 1)
    caller.call("a.b", request: 2, flags: .wait)
    caller.call("a.b", request: 3)
    _ = try near.next(.invoke)
    near.unregister(handle)
    try caller.expectResult(.notFound, request: 3, containing: "a.b")
    caller.expectNothing()
    let wide = harness.connect()
    try wide.register("*")
    #expect(try wide.next(.invoke).name == "a.b")
  }

  /// Calls that come from several queues into one keep their order, whoever goes first.
  @Test func callsOfSeveralNamesOfALostWorkerKeepTheirOrder() throws {
    for names in [["a.b", "a.c"], ["a.c", "a.b"]] {
      let harness = BridgeHarness()
      let worker = harness.connect()
      let wide = harness.connect()
      let caller = harness.connect()
      for name in names { try worker.register(name, concurrency: 1) }
      try wide.register("a.*", concurrency: 1)
      caller.call("a.b", request: 1)
      caller.call("a.c", request: 2)
      for request in 3...6 as ClosedRange<UInt64> {
        caller.call(request % 2 == 0 ? "a.b" : "a.c", request: request, [UInt8(request)])
      }
      worker.gone()
      for request in 3...6 as ClosedRange<UInt64> {
        let invoke = try wide.next(.invoke)
        #expect(invoke.payload == [UInt8(request)])
        wide.complete(invoke.id)
      }
    }
  }
}
