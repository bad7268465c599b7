import CHostcall
import HostcallFunctions
import HostcallLoop

/// A call that a C program makes by callbacks.
///
/// `@unchecked Sendable` rule: constants only, but for `progress`, which has a lock; the pointer and the functions are the
/// caller's, made fit for any thread.
final class OutgoingRequest: @unchecked Sendable {
  private struct Progress {
    /// Whether every item has been handed to the callback; at once where none are taken.
    var itemsAreOver: Bool
    var outcome: CallOutcome?
    var isTold = false
  }

  let number: UInt64
  let port: any CallerPort
  /// Where arguments go; nil where there are none.
  let arguments: ItemPort?
  private let context: Context
  private let strand: Strand
  private let onResult: hostcall_result_function?
  private let onItem: hostcall_item_function?
  private let userData: UnsafeMutableRawPointer?
  private let progress: HeapLock<Progress>

  init(
    _ number: UInt64, _ port: any CallerPort, _ context: Context, _ options: hostcall_call_options?,
    onResult: hostcall_result_function?, userData: UnsafeMutableRawPointer?
  ) {
    self.number = number
    self.port = port
    self.context = context
    self.onResult = onResult
    self.userData = userData
    let strand = Strand(context.dispatcher)
    self.strand = strand
    onItem = options?.on_item
    progress = HeapLock(Progress(itemsAreOver: port.streams.results == nil))
    let told = RoomCallback(context, id: number, options?.on_room, userData)
    arguments = port.streams.arguments.map { sender in
      ItemPort(sender, port, largestItemBytes: .max, context.dispatcher) { strand.run { told.run() } }
    }
  }

  /// Begins the call; the context has it by then.
  func begin() {
    if let results = port.streams.results {
      results.beginGrantingByHand()
      // Before any can come: so each is taken on the loop's thread as it comes, and none from inside another.
      takeItem(results)
    }
    port.begin { [self] outcome in
      advance { $0.outcome = outcome }
    }
  }

  private func takeItem(_ results: ItemReceiver) {
    results.next { [self] next in
      guard case .success(let item?) = next else {
        // Why they are over is in the outcome.
        return advance { $0.itemsAreOver = true }
      }
      strand.run { [self] in
        ResultMemory.withItem(item) { onItem?(context.handle, number, $0, userData) }
      }
      takeItem(results)
    }
  }

  private func advance(_ change: (inout Progress) -> Void) {
    let outcome = progress.withLock { progress -> CallOutcome? in
      change(&progress)
      guard progress.itemsAreOver, !progress.isTold, let outcome = progress.outcome else { return nil }
      progress.isTold = true
      return outcome
    }
    guard let outcome else { return }
    strand.run { [self] in
      context.forget(request: number)
      if let onResult {
        let memory = ResultMemory(outcome)
        withUnsafePointer(to: memory.result) { onResult(context.handle, number, $0, userData) }
        memory.free()
      }
      context.dispatcher.release()
    }
  }
}

/// A callback that says that there is room for an item again.
///
/// `@unchecked Sendable` rule: as of `OutgoingRequest`.
struct RoomCallback: @unchecked Sendable {
  private let context: Context
  private let id: UInt64
  private let function: hostcall_room_function?
  private let userData: UnsafeMutableRawPointer?

  init(
    _ context: Context, id: UInt64, _ function: hostcall_room_function?, _ userData: UnsafeMutableRawPointer?
  ) {
    self.context = context
    self.id = id
    self.function = function
    self.userData = userData
  }

  func run() { function?(context.handle, id, userData) }
}
