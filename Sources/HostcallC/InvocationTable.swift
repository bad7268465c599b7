import CHostcall
import HostcallClient
import HostcallFunctions
import HostcallLoop
import HostcallWire

/// A call that a C program answers.
///
/// `@unchecked Sendable` rule: constants only.
final class Invocation: @unchecked Sendable {
  let number: UInt64
  let call: HostcallInvocation
  let function: HostFunction
  /// Where result items go; nil where none are taken.
  let results: ItemPort?
  /// What is told about the call; held until its host function has begun.
  let strand: Strand
  private let hasBegunTaking = HeapLock(false)

  init(_ number: UInt64, _ call: HostcallInvocation, _ function: HostFunction, _ context: Context) {
    self.number = number
    self.call = call
    self.function = function
    let strand = Strand(context.dispatcher, isHeld: true)
    self.strand = strand
    let port = call.request.results
    let told = RoomCallback(context, id: number, function.onRoom, function.userData.pointer)
    if let sender = port.items, let way = port.port {
      // The function's pointer stays until nobody can be told.
      results = ItemPort(sender, way, largestItemBytes: port.largestItemBytes, context.dispatcher) { [function] in
        strand.run { withExtendedLifetime(function) { told.run() } }
      }
    } else {
      results = nil
    }
  }
}

extension Invocation {
  /// Whether its arguments are to be taken from now on: true once, at the first credit for them.
  func beginTaking() -> Bool {
    hasBegunTaking.withLock { hasBegun in
      defer { hasBegun = true }
      return !hasBegun
    }
  }
}

/// The calls that a context answers, and how the latest that it has answered ended.
struct InvocationTable {
  /// How a call that has ended did.
  private enum End {
    case completed
    case lost
  }

  /// What `hostcall_host_complete` comes to.
  enum Completing {
    /// It is to be sent.
    case accepted(Invocation)
    /// The call was over before: its place is to be given back.
    case late(Invocation)
    /// The call is over, and there is nothing to send.
    case gone
    case duplicate
    case unknown
  }

  /// Calls that ended are told apart for so many; an older one that is completed again is late.
  private static let rememberedCalls = 4_096

  private struct Running {
    let invocation: Invocation
    var isOver = false
  }

  private var running: [UInt64: Running] = [:]
  /// By the numbers of the present connection, which the daemon uses once.
  private var numbers: [UInt64: UInt64] = [:]
  private var ends: [UInt64: End] = [:]
  private var endsInOrder = Queue<UInt64>()

  mutating func insert(_ invocation: Invocation) {
    running[invocation.number] = Running(invocation: invocation)
    numbers[invocation.call.request.correlationID] = invocation.number
  }

  func find(_ number: UInt64) -> Invocation? { running[number]?.invocation }

  /// Whether a call is to be answered: false where it is over by now, which it is for everybody then.
  mutating func begin(_ invocation: Invocation) -> Bool {
    guard let call = running[invocation.number] else { return false }
    if call.isOver { remove(invocation, .lost) }
    return !call.isOver
  }

  /// A call is over, of which whoever answers it has not heard; with its connection it is also completed.
  mutating func end(correlationID: UInt64, withConnection: Bool) -> Invocation? {
    guard let number = numbers[correlationID], let call = running[number] else { return nil }
    if withConnection {
      remove(call.invocation, .lost)
    } else {
      running[number]?.isOver = true
    }
    return call.isOver ? nil : call.invocation
  }

  mutating func complete(_ number: UInt64) -> Completing {
    guard let call = running[number] else { return ended(number) }
    remove(call.invocation, call.isOver ? .lost : .completed)
    return call.isOver ? .late(call.invocation) : .accepted(call.invocation)
  }

  /// What a completion would come to now.
  func state(_ number: UInt64) -> Completing {
    guard let call = running[number] else { return ended(number) }
    return call.isOver ? .late(call.invocation) : .accepted(call.invocation)
  }

  private func ended(_ number: UInt64) -> Completing {
    switch ends[number] {
    case .completed: .duplicate
    case .lost: .gone
    case nil: number > 0 && number <= oldest ? .gone : .unknown
    }
  }

  /// The latest number that is remembered no more.
  private var oldest: UInt64 = 0

  private mutating func remove(_ invocation: Invocation, _ end: End) {
    running[invocation.number] = nil
    // The daemon of another connection may have used the number again.
    let correlationID = invocation.call.request.correlationID
    if numbers[correlationID] == invocation.number { numbers[correlationID] = nil }
    ends[invocation.number] = end
    endsInOrder.append(invocation.number)
    while endsInOrder.count > Self.rememberedCalls, let number = endsInOrder.popFirst() {
      ends[number] = nil
      oldest = max(oldest, number)
    }
  }
}
