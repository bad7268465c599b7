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
    ask()
    if milliseconds > 0 {
      _ = dispatcher.wait(turns, milliseconds: milliseconds) { $0.kept > 0 || $0.ending != nil }
    }
    try takeTurn(waited: milliseconds)
    let isFirst = try translating { () throws(HostcallError) in try sender.put(payload, encoding: encoding) }
    if isFirst { port.sendPendingItems() }
  }

  /// No more follow.
  func end() throws(InterfaceError) {
    let isFirst = try translating { () throws(HostcallError) in try sender.put([], encoding: .raw, isLast: true) }
    if isFirst { port.sendPendingItems() }
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

  private func takeTurn(waited milliseconds: Int) throws(InterfaceError) {
    var error: InterfaceError?
    turns.change { turns in
      if let ending = turns.ending {
        // However the call has ended, for an item it is too late.
        error = InterfaceError(HOSTCALL_LATE, ending.description)
      } else if turns.kept > 0 {
        turns.kept -= 1
      } else if milliseconds > 0 {
        error = InterfaceError(HOSTCALL_TIMEOUT, "no room for the item within \(milliseconds) ms: nobody takes them")
      } else {
        turns.isToBeTold = true
        error = InterfaceError(HOSTCALL_OVERLOADED, "no room for the item now: on_room says when there is")
      }
      return false
    }
    if let error { throw error }
  }
}
