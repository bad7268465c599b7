import HostcallWire
import Testing

@testable import HostcallBridge

/// Protocol section 4, *Events*, and the daemon's own events of section 7.
@Suite struct EventTests {
  @Test func anEventGoesToEverySubscriberOnceEach() throws {
    let harness = BridgeHarness()
    let (exact, pattern, all, both, other) = (
      harness.connect(), harness.connect(), harness.connect(), harness.connect(), harness.connect()
    )
    let publisher = harness.connect()
    try exact.subscribe("door.opened")
    try pattern.subscribe("door.*")
    try all.subscribe("*")
    try both.subscribe("door.opened")
    try both.subscribe("door.*")
    try both.subscribe("*")
    try other.subscribe("door")
    try other.subscribe("door.opened.wide")
    publisher.publish("door.opened", "front", metadata: ["by": "alice"])
    let result = try publisher.expectResult(.ok, request: 904)
    #expect(result.header.aux == 4 && result.header.call == 0)
    for peer in [exact, pattern, all, both] {
      let event = try peer.next(.event)
      #expect(event.name == "door.opened" && event.text == "front" && event.metadata == ["by": "alice"])
      #expect(event.id == 1 && event.header.aux == 0)
      peer.expectNothing()
    }
    other.expectNothing()
  }

  @Test func withoutARequestIDNothingIsAnswered() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    try peer.subscribe("e")
    peer.publish("e", "x", isAnswered: false)
    try peer.expectEvent("e", "x", place: 1)
    peer.publish("hostcall.e", isAnswered: false)
    peer.expectNothing()
  }

  @Test func subscribingTwiceIsOnceAndUnsubscribingEndsIt() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    try peer.subscribe("e")
    try peer.subscribe("e")
    peer.publish("e", "1", isAnswered: false)
    try peer.expectEvent("e", "1", place: 1)
    peer.send(FrameHeader(kind: .unsubscribe, id: 5), name: "e")
    try peer.expectResult(.ok, request: 5)
    peer.publish("e", "2")
    #expect(try peer.expectResult(.ok, request: 904).header.aux == 0)
    peer.send(FrameHeader(kind: .unsubscribe, id: 6), name: "e")
    try peer.expectResult(.invalidArgument, request: 6, containing: "e: this connection has not subscribed")
    // The place goes on where it was.
    try peer.subscribe("e")
    peer.publish("e", "3", isAnswered: false)
    try peer.expectEvent("e", "3", place: 2)
  }

  @Test func namesOfTheDaemonArePublishedByItAlone() throws {
    let harness = BridgeHarness()
    let peer = harness.connect()
    peer.publish("hostcall.peer.connected")
    try peer.expectResult(.invalidArgument, request: 904, containing: "belong to the daemon")
    try peer.subscribe("hostcall.*")
  }

  @Test func aSubscriptionTooManyIsOverloaded() throws {
    let harness = BridgeHarness {
      $0.subscriptionsPerConnection = 2
      $0.functions = 3
    }
    let peer = harness.connect()
    try peer.subscribe("a")
    try peer.subscribe("b")
    peer.send(FrameHeader(kind: .subscribe, id: 5), name: "c")
    try peer.expectResult(.overloaded, request: 5, containing: "2 subscriptions")
    try peer.subscribe("b")
    let other = harness.connect()
    try other.subscribe("c")
    other.send(FrameHeader(kind: .subscribe, id: 5), name: "d")
    try other.expectResult(.overloaded, request: 5, containing: "3 names")
    for peer in [peer, other] { peer.gone() }
    #expect(harness.bridge.remains.isEmpty)
  }

  // MARK: Slow subscribers

  @Test func aSlowSubscriberLosesTheOldestAndIsToldHowMany() throws {
    let harness = BridgeHarness { $0.waitingEventsPerConnection = 2 }
    let (slow, quick, publisher) = (harness.connect(), harness.connect(), harness.connect())
    try slow.subscribe("e")
    try quick.subscribe("e")
    publisher.publish("e", "1", isAnswered: false)
    try slow.expectEvent("e", "1", place: 1)
    harness.bridge.peerIsBacklogged(slow.id)
    for number in 2...6 { publisher.publish("e", "\(number)", isAnswered: false) }
    slow.expectNothing()
    for number in 1...6 { try quick.expectEvent("e", "\(number)", place: UInt64(number)) }
    harness.fact { $0.peerCanTakeMore(slow.id, now: harness.now, into: &$1) }
    try slow.expectEvent("e", "5", place: 5, dropped: 3)
    try slow.expectEvent("e", "6", place: 6)
    publisher.publish("e", "7", isAnswered: false)
    try slow.expectEvent("e", "7", place: 7)
    #expect(harness.bridge.statsReport().eventsDropped == 3)
  }

  @Test func waitingEventsAreBoundedByTheirBytesToo() throws {
    let harness = BridgeHarness { $0.waitingEventBytesPerConnection = 100 }
    let (slow, publisher) = (harness.connect(), harness.connect())
    try slow.subscribe("e")
    harness.bridge.peerIsBacklogged(slow.id)
    publisher.publish("e", String(repeating: "a", count: 60), isAnswered: false)
    publisher.publish("e", String(repeating: "b", count: 60), isAnswered: false)
    publisher.publish("e", String(repeating: "c", count: 100), isAnswered: false)
    publisher.publish("e", "d", isAnswered: false)
    harness.fact { $0.peerCanTakeMore(slow.id, now: harness.now, into: &$1) }
    try slow.expectEvent("e", "d", place: 4, dropped: 3)
  }

  @Test func whatWaitsIsSentAsFarAsTheSubscriberTakesIt() throws {
    let harness = BridgeHarness { $0.outputBytesPerConnection = 65_536 }
    let (slow, publisher) = (harness.connect(), harness.connect())
    try slow.subscribe("e")
    let text = String(repeating: "x", count: 30_000)
    for _ in 1...9 { publisher.publish("e", text, isAnswered: false) }
    // Three are sent at once, past the limit; the others wait.
    #expect(slow.takeAll().count == 3)
    harness.hasTaken(slow, allBut: 0)
    #expect(slow.takeAll().map(\.id) == [4, 5, 6])
    harness.hasTaken(slow, allBut: 0)
    #expect(slow.takeAll().map(\.id) == [7, 8, 9])
  }

  @Test func nothingIsLeftOfASubscriberThatGoes() throws {
    let harness = BridgeHarness()
    let (slow, publisher) = (harness.connect(), harness.connect())
    try slow.subscribe("e")
    try slow.subscribe("e.*")
    harness.bridge.peerIsBacklogged(slow.id)
    publisher.publish("e", "x", isAnswered: false)
    slow.gone()
    publisher.publish("e")
    #expect(try publisher.expectResult(.ok, request: 904).header.aux == 0)
    publisher.gone()
    #expect(harness.bridge.remains.isEmpty)
  }

  // MARK: The daemon's own

  @Test func theDaemonTellsWhoComesAndGoes() throws {
    let harness = BridgeHarness()
    let watcher = harness.connect()
    try watcher.subscribe("hostcall.peer.*")
    let peer = try #require(harness.connectWithoutHello(userID: 7))
    watcher.expectNothing()
    peer.hello(client: "it\"s\\me")
    let session = try peer.next(.welcome).id
    let body = #"{"client":"it\"s\\me","groupID":8,"processID":9,"session":\#(session),"userID":7}"#
    let connected = try watcher.next(.event)
    #expect(connected.name == "hostcall.peer.connected" && connected.header.encoding == .json)
    #expect(connected.text == body)
    peer.gone()
    let disconnected = try watcher.next(.event)
    #expect(disconnected.name == "hostcall.peer.disconnected" && disconnected.text == body)
    // Who has not said HELLO has not come.
    try #require(harness.connectWithoutHello()).gone()
    watcher.expectNothing()
  }

  @Test func theDaemonTellsWhatIsRegistered() throws {
    let harness = BridgeHarness()
    let watcher = harness.connect()
    try watcher.subscribe("*")
    let worker = harness.connect()
    #expect(try watcher.next(.event).name == "hostcall.peer.connected")
    let handle = try worker.register("a.*")
    let registered = try watcher.next(.event)
    #expect(registered.name == "hostcall.function.registered" && registered.header.encoding == .json)
    #expect(registered.text == #"{"name":"a.*","session":2,"workers":1}"#)
    worker.unregister(handle)
    let unregistered = try watcher.next(.event)
    #expect(unregistered.name == "hostcall.function.unregistered")
    #expect(unregistered.text == #"{"name":"a.*","session":2,"workers":0}"#)
    try worker.register("b")
    #expect(try watcher.next(.event).name == "hostcall.function.registered")
    worker.gone()
    #expect(try watcher.next(.event).name == "hostcall.function.unregistered")
    #expect(try watcher.next(.event).name == "hostcall.peer.disconnected")
  }
}
