import HostcallWire
import Testing

@testable import HostcallFunctions

@Suite("Events that wait for a consumer", .timeLimit(.minutes(1))) struct EventBufferTests {
  /// What an EVENT with this place and so many dropped before it is to the consumers.
  private func deliver(
    _ place: UInt64, name: String = "door.opened", dropped: UInt32 = 0, isTooLarge: Bool = false,
    to consumers: EventConsumers
  ) {
    let bytes = Array(name.utf8)
    var header = FrameHeader(kind: .event, id: place, aux: dropped)
    header.nameBytes = UInt16(bytes.count)
    header.bodyBytes = UInt32(bytes.count)
    bytes.withUnsafeBytes { body in
      consumers.deliver(
        DecodedFrame(
          header: header, kind: .event, body: isTooLarge ? .init(start: nil, count: 0) : body, isTooLarge: isTooLarge))
    }
  }

  @Test func theOldestMakeWayAndAreCounted() async throws {
    let buffer = EventBuffer(mostEvents: 3, mostBytes: 1_000)
    for place in 1...10 as ClosedRange<UInt64> { buffer.put(HostcallEvent(name: "a", place: place)) }
    let first = try #require(await buffer.next(isolation: nil))
    #expect(first.place == 8)
    #expect(first.droppedBefore == 7)
    let second = try #require(await buffer.next(isolation: nil))
    #expect(second.place == 9)
    #expect(second.droppedBefore == 0)
  }

  @Test func bytesAreBoundedToo() async throws {
    let buffer = EventBuffer(mostEvents: 100, mostBytes: 50)
    let payload = [UInt8](repeating: 1, count: 30)
    for place in 1...3 as ClosedRange<UInt64> { buffer.put(HostcallEvent(name: "a", payload: payload, place: place)) }
    let only = try #require(await buffer.next(isolation: nil))
    #expect(only.place == 3)
    #expect(only.droppedBefore == 2)
    // One that is larger than the limit is kept while it is the newest.
    buffer.put(HostcallEvent(name: "a", payload: [UInt8](repeating: 1, count: 80), place: 4))
    #expect(try await buffer.next(isolation: nil)?.place == 4)
  }

  @Test func aGapIsToldOnceAndNotLostWithADroppedEvent() async throws {
    let buffer = EventBuffer(mostEvents: 2, mostBytes: 1_000)
    buffer.put(HostcallEvent(name: "a", place: 1))
    buffer.noteGap()
    for place in 1...3 as ClosedRange<UInt64> { buffer.put(HostcallEvent(name: "a", place: place)) }
    let first = try #require(await buffer.next(isolation: nil))
    #expect(first.place == 2)
    #expect(first.followsGap)
    #expect(first.droppedBefore == 2)
    #expect(try await buffer.next(isolation: nil)?.followsGap == false)
  }

  @Test func itEndsAfterWhatIsThere() async throws {
    let buffer = EventBuffer(mostEvents: 2, mostBytes: 1_000)
    buffer.put(HostcallEvent(name: "a"))
    buffer.end(HostcallError(.closed, message: "over"))
    buffer.put(HostcallEvent(name: "b"))
    #expect(try await buffer.next(isolation: nil)?.name == "a")
    await #expect(throws: HostcallError.self) { try await buffer.next(isolation: nil) }
  }

  @Test func aCancelledTaskStopsWaitingAndLosesNothing() async throws {
    let buffer = EventBuffer(mostEvents: 2, mostBytes: 1_000)
    let task = Task { try await buffer.next(isolation: nil) }
    task.cancel()
    #expect(try await task.value == nil)
    buffer.put(HostcallEvent(name: "a"))
    #expect(try await buffer.next(isolation: nil)?.name == "a")
  }

  @Test func anEventReachesEveryConsumerItMatchesAndNoOther() async throws {
    var consumers = EventConsumers()
    let patterns = [
      "door.front.opened", "door.front.*", "door.*", "*", "door.front", "window.*", "door.front.opened.*",
    ]
    let buffers = patterns.map { _ in EventBuffer(mostEvents: 10, mostBytes: 1_000) }
    for (pattern, buffer) in zip(patterns, buffers) { _ = consumers.add(buffer, to: pattern) }
    deliver(1, name: "door.front.opened", to: consumers)
    for buffer in buffers { buffer.end(nil) }
    for (index, buffer) in buffers.enumerated() {
      #expect(try await buffer.next(isolation: nil)?.name == (index < 4 ? "door.front.opened" : nil))
    }
  }

  @Test func consumersOfOnePatternShareItsSubscription() {
    var consumers = EventConsumers()
    let (first, second) = (
      EventBuffer(mostEvents: 1, mostBytes: 10), EventBuffer(mostEvents: 1, mostBytes: 10)
    )
    let changes = [
      consumers.add(first, to: "a.*"), consumers.add(second, to: "a.*"), consumers.remove(first, from: "a.*"),
      consumers.remove(first, from: "b"), consumers.remove(second, from: "a.*"),
    ]
    #expect(changes == [true, false, false, false, true])
    #expect(consumers.isEmpty)
  }

  @Test func whatTheDaemonDroppedIsToldToEveryConsumer() async throws {
    var consumers = EventConsumers()
    let (doors, windows) = (
      EventBuffer(mostEvents: 10, mostBytes: 1_000), EventBuffer(mostEvents: 10, mostBytes: 1_000)
    )
    _ = consumers.add(doors, to: "door.*")
    _ = consumers.add(windows, to: "window.*")
    deliver(6, dropped: 5, to: consumers)
    deliver(7, isTooLarge: true, to: consumers)
    deliver(8, name: "window.broken", to: consumers)
    #expect(try await doors.next(isolation: nil)?.droppedBefore == 5)
    let broken = try #require(await windows.next(isolation: nil))
    #expect(broken.droppedBefore == 6)
    #expect(broken.place == 8)
  }
}
