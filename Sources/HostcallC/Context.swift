import CHostcall
import HostcallClient
import HostcallFunctions
import HostcallLoop
import HostcallServer
import HostcallWire

/// What a `hostcall_context` stands for: a client, the bridge that it is connected to where that is in this process, and
/// everything that C programs know by number.
///
/// A context and its client refer to each other until it is closed. Thread: any.
final class Context: Sendable {
  struct Tables {
    /// The last number given out; requests, invocations and subscriptions share them, so that each can be an `id`.
    var lastNumber: UInt64 = 0
    var names: [String: RegisteredName] = [:]
    var requests: [UInt64: OutgoingRequest] = [:]
    var invocations = InvocationTable()
    var subscriptions: [UInt64: Subscription] = [:]
    /// Whether nothing is to be begun any more.
    var isClosed = false

    mutating func nextNumber() -> UInt64 {
      lastNumber += 1
      return lastNumber
    }
  }

  let client: HostcallClient
  let server: HostcallServer?
  let dispatcher: Dispatcher
  let tables = HeapLock(Tables())
  private let number: UInt

  private init(_ client: HostcallClient, _ server: HostcallServer?, _ dispatcher: Dispatcher, number: UInt) {
    self.client = client
    self.server = server
    self.dispatcher = dispatcher
    self.number = number
  }

  // MARK: By handle

  /// What C programs have of it: a number that looks like no address, so that one that was closed is known.
  var handle: OpaquePointer? { OpaquePointer(bitPattern: number << 4 | Self.mark) }

  private static let mark: UInt = 0xC

  private struct Open {
    var last: UInt = 0
    var contexts: [UInt: Context] = [:]
  }

  private static let open = HeapLock(Open())

  /// Makes a context that can be had by its handle.
  static func make(
    _ client: HostcallClient, _ server: HostcallServer?, _ dispatcher: Dispatcher
  ) -> OpaquePointer? {
    open.withLock { open in
      open.last += 1
      let context = Context(client, server, dispatcher, number: open.last)
      open.contexts[open.last] = context
      client.whenClosed { _ in dispatcher.noteEnd() }
      return context.handle
    }
  }

  /// The context of a handle, if it is open.
  static func with(_ handle: OpaquePointer?) throws(InterfaceError) -> Context {
    try find(handle) { $0.contexts[$1] }
  }

  /// The same, and from then on it is closed to everybody else.
  static func take(_ handle: OpaquePointer?) throws(InterfaceError) -> Context {
    try find(handle) { $0.contexts.removeValue(forKey: $1) }
  }

  private static func find(
    _ handle: OpaquePointer?, _ look: (inout Open, UInt) -> Context?
  ) throws(InterfaceError) -> Context {
    guard let handle else { throw .null("the context") }
    let bits = UInt(bitPattern: handle)
    let number = bits >> 4
    guard bits & 0xF == mark, number > 0, number <= open.withLock({ $0.last }) else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "this is no context: it was never given out")
    }
    guard let context = open.withLock({ look(&$0, number) }) else { throw .closed }
    return context
  }

  // MARK: Waiting

  /// Waits for what is asked for here and told on another thread.
  func wait<Value: Sendable>(_ ask: (@escaping Answer<Value>) -> Void) -> Value {
    let answer = HeapCondition<Value?>(nil)
    let dispatcher = dispatcher
    ask { value in
      answer.change { answer in
        answer = value
        return true
      }
      dispatcher.wake()
    }
    _ = dispatcher.wait(answer, milliseconds: .max) { $0 != nil }
    return answer.wait { $0.take() }
  }

  // MARK: The end

  /// Everything ends; when it returns no callback runs, but for the one that has called it.
  func close() {
    tables.withLock { $0.isClosed = true }
    _ = wait { client.close($0) } as HostcallError?
    if let server {
      wait { answer in
        Task {
          await server.shutdownNow(); answer(())
        }
      }
    }
    empty()
    dispatcher.close()
  }

  /// Lets go of everything, outside of the lock: what it refers to then ends.
  private func empty() {
    let left = tables.withLock { tables in
      let left = tables
      tables = Tables()
      tables.lastNumber = left.lastNumber
      tables.isClosed = true
      return left
    }
    for name in left.names.values { _ = name.end() }
    for subscription in left.subscriptions.values { subscription.end() }
  }
}
