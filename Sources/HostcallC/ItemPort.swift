import CHostcall
import HostcallFunctions
import HostcallLoop
import HostcallWire

/// Where the items of one stream are sent: results of a call that is answered, or arguments of one that is made.
///
/// Thread: any.
final class ItemPort: Sendable {
  private struct Turns {
    /// Turns that were given and not used.
    var kept = 0
    /// Whether a turn was asked for and has not come.
    var isAskedFor = false
    /// Whether the caller was told that there is none, and wants to hear of one.
    var isToBeTold = false
    /// Why no more items can be sent.
    var ending: HostcallError?
  }

  private let sender: ItemSender
  private let port: any CallPort
  private let largestItemBytes: Int
  private let dispatcher: Dispatcher
  private let turns = HeapCondition(Turns())
  /// Told that there is room again.
  private let onRoom: @Sendable () -> Void

  init(
    _ sender: ItemSender, _ port: any CallPort, largestItemBytes: Int, _ dispatcher: Dispatcher,
    onRoom: @escaping @Sendable () -> Void
  ) {
    self.sender = sender
    self.port = port
    self.largestItemBytes = largestItemBytes
    self.dispatcher = dispatcher
    self.onRoom = onRoom
  }

  /// Sends an item; waits for room at most so long, not at all for 0.
  func send(_ payload: ArraySlice<UInt8>, _ encoding: PayloadEncoding, milliseconds: Int) throws(InterfaceError) {
    guard payload.count <= largestItemBytes else {
      throw InterfaceError(
        HOSTCALL_TOO_LARGE, "the item has \(payload.count) bytes, and the daemon takes \(largestItemBytes) at most")
    }
    try takeTurn(milliseconds: milliseconds)
    try put(payload, encoding, isLast: false)
  }

  /// No more follow.
  func end() throws(InterfaceError) {
    try put([], .raw, isLast: true)
  }

  private func put(
    _ payload: ArraySlice<UInt8>, _ encoding: PayloadEncoding, isLast: Bool
  ) throws(InterfaceError) {
    let isFirst: Bool
    do throws(HostcallError) {
      isFirst = try sender.put(payload, encoding: encoding, isLast: isLast)
    } catch {
      throw Self.late(error)
    }
    if isFirst { port.sendPendingItems() }
  }

  /// However the call has ended, for an item it is too late.
  private static func late(_ error: HostcallError) -> InterfaceError {
    InterfaceError(HOSTCALL_LATE, error.description)
  }

  /// Takes a turn, once there is one that nobody else takes.
  private func takeTurn(milliseconds: Int) throws(InterfaceError) {
    let end = ContinuousClock.now + .milliseconds(min(milliseconds, Dispatcher.longestWaitMilliseconds))
    while true {
      ask()
      if try takeTurnNow(isToBeTold: milliseconds == 0) { return }
      let left = Int(TimeoutRules.milliseconds(end - .now))
      guard milliseconds > 0 else {
        throw InterfaceError(HOSTCALL_OVERLOADED, "no room for the item now: on_room says when there is")
      }
      guard left > 0 else {
        throw InterfaceError(HOSTCALL_TIMEOUT, "no room for the item within \(milliseconds) ms: nobody takes them")
      }
      // Whoever else waits may have taken the turn, and then it is asked for another.
      _ = dispatcher.wait(turns, milliseconds: left) { $0.kept > 0 || $0.ending != nil || !$0.isAskedFor }
    }
  }

  /// - Parameter isToBeTold: whether on_room is to say when there is a turn, where there is none.
  private func takeTurnNow(isToBeTold: Bool) throws(InterfaceError) -> Bool {
    var ending: HostcallError?
    var isTaken = false
    turns.change { turns in
      ending = turns.ending
      if turns.ending == nil, turns.kept > 0 {
        turns.kept -= 1
        isTaken = true
      } else if isToBeTold {
        turns.isToBeTold = true
      }
      // Those who wait for the same turn look again.
      return isTaken
    }
    if let ending { throw Self.late(ending) }
    return isTaken
  }

  /// Asks for a turn, unless there is one or one is on its way.
  private func ask() {
    var isNeeded = false
    turns.change { turns in
      isNeeded = turns.kept == 0 && !turns.isAskedFor && turns.ending == nil
      if isNeeded { turns.isAskedFor = true }
      return false
    }
    if isNeeded { sender.reserve { self.came($0) } }
  }

  private func came(_ turn: Result<Void, HostcallError>) {
    var tells = false
    turns.change { turns in
      turns.isAskedFor = false
      switch turn {
      case .success:
        turns.kept += 1
        tells = turns.isToBeTold
        turns.isToBeTold = false
      case .failure(let error): turns.ending = error
      }
      return true
    }
    dispatcher.wake()
    if tells { onRoom() }
  }
}
