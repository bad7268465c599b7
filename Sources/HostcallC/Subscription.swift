import CHostcall
import Glibc
import HostcallClient
import HostcallFunctions
import HostcallLoop

/// A subscription of a C program.
///
/// One event at a time is handed to the callback; the others wait in the buffer, which drops the oldest past its bounds.
///
/// `@unchecked Sendable` rule: constants only; the function is the caller's, made fit for any thread.
final class Subscription: @unchecked Sendable {
  let number: UInt64
  let pattern: String
  let buffer: EventBuffer
  private let context: Context
  private let strand: Strand
  private let onEvent: hostcall_event_function
  private let userData: UserData
  private let isEnded = HeapLock(false)

  init(
    _ number: UInt64, _ pattern: String, _ context: Context, _ onEvent: @escaping hostcall_event_function,
    _ userData: UserData
  ) {
    self.number = number
    self.pattern = pattern
    self.context = context
    self.onEvent = onEvent
    self.userData = userData
    strand = Strand(context.dispatcher)
    let limits = context.client.configuration
    buffer = EventBuffer(mostEvents: limits.waitingEvents, mostBytes: limits.waitingEventBytes)
  }

  /// Takes events until there are no more.
  func begin() {
    buffer.next { [self] next in
      guard case .success(let event?) = next else { return }
      strand.run { [self] in
        if isEnded.withLock({ $0 }) { return }
        deliver(event)
        begin()
      }
    }
  }

  /// Those that wait are not delivered any more.
  func end() {
    isEnded.withLock { $0 = true }
  }

  private func deliver(_ event: HostcallEvent) {
    let texts = TextBlock(payload: [], metadata: event.metadata, text: event.name)
    event.payload.withUnsafeBufferPointer { bytes in
      var lent = hostcall_event()
      lent.struct_size = MemoryLayout<hostcall_event>.stride
      lent.name = texts.text
      lent.data = bytes.isEmpty ? nil : bytes.baseAddress
      lent.size = bytes.count
      lent.metadata = texts.metadata
      lent.metadata_count = texts.metadataCount
      lent.encoding = UInt32(event.encoding.rawValue)
      lent.follows_gap = event.followsGap ? 1 : 0
      lent.dropped_before = UInt64(event.droppedBefore)
      withUnsafePointer(to: lent) { onEvent(context.handle, number, $0, userData.pointer) }
    }
    free(texts.block)
  }
}

// Events that a C program subscribes to and publishes.
extension Context {
  func subscribe(
    _ pattern: String, _ onEvent: @escaping hostcall_event_function, _ userData: UserData,
    told number: UnsafeMutablePointer<UInt64>?
  ) throws(InterfaceError) {
    try translating { () throws(HostcallError) in try PatternRules.check(pattern) }
    let made = tables.withLock { tables -> Subscription? in
      if tables.isClosed { return nil }
      let number = tables.nextNumber()
      let subscription = Subscription(number, pattern, self, onEvent, userData)
      tables.subscriptions[number] = subscription
      return subscription
    }
    guard let subscription = made else { throw .closed }
    let error: HostcallError? = wait { client.subscribe(subscription.buffer, to: pattern, $0) }
    if let error {
      _ = tables.withLock { $0.subscriptions.removeValue(forKey: subscription.number) }
      throw InterfaceError(error)
    }
    number?.pointee = subscription.number
    subscription.begin()
  }

  func unsubscribe(_ number: UInt64) throws(InterfaceError) {
    guard let subscription = tables.withLock({ $0.subscriptions.removeValue(forKey: number) }) else {
      throw InterfaceError(HOSTCALL_NOT_FOUND, "this context has no subscription \(number)")
    }
    subscription.end()
    client.unsubscribe(subscription.buffer, from: subscription.pattern)
  }

  /// How many subscribers there were, where that is asked for.
  func publish(_ parameters: PublicationParameters, wantsAnswer: Bool) throws(InterfaceError) -> Int {
    let outcome: Result<Int, HostcallError> = wait {
      client.publish(parameters, wantsAnswer: wantsAnswer, $0)
    }
    return try translating { () throws(HostcallError) in try outcome.get() }
  }
}
