import Foundation
import HostcallClient
import Synchronization

/// Collects calls until as many are there as they say (`together`), and has one thread for each complete them: the
/// thread of the last call first, the thread of the first call last.
final class Gathering: Sendable {
  private let calls = Mutex<[HostcallInvocation]>([])

  /// A call has come. On the loop thread, so it must not wait.
  func add(_ call: HostcallInvocation) {
    let together = call.request.metadata["together"].flatMap { Int($0) } ?? 1
    let gathered = calls.withLock { calls -> [HostcallInvocation] in
      calls.append(call)
      guard calls.count >= together else { return [] }
      defer { calls = [] }
      return calls
    }
    let turns = Turns(first: gathered.count)
    for (index, call) in gathered.enumerated() {
      Thread.detachNewThread {
        let completed = turns.wait(for: index + 1)
        call.complete(
          HostcallReply(
            call.request.payload,
            metadata: ["arrived": "\(index + 1)", "completed": "\(completed)", "thread": Self.threadName]))
        turns.next()
      }
    }
  }

  /// The kernel's number of the current thread.
  private static var threadName: String {
    let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
    return link?.split(separator: "/").last.map(String.init) ?? "?"
  }

  /// A call has ended before the others were there.
  func remove(_ call: HostcallInvocation, _ reason: Status) {
    let id = call.request.correlationID
    let wasWaiting = calls.withLock { calls in
      let before = calls.count
      calls.removeAll { $0.request.correlationID == id }
      return calls.count < before
    }
    if wasWaiting { call.complete(HostcallFailure(status: .cancelled)) }
  }
}

/// Threads that go one after another, counting down.
private final class Turns: @unchecked Sendable {
  private let condition = NSCondition()
  // Both are only read and written under the condition's lock.
  private var turn: Int
  private var taken = 0

  init(first: Int) {
    turn = first
  }

  /// Waits for a turn; gives how many turns have been taken, with this one.
  func wait(for number: Int) -> Int {
    condition.lock()
    defer { condition.unlock() }
    while turn != number { condition.wait() }
    taken += 1
    return taken
  }

  func next() {
    condition.lock()
    turn -= 1
    condition.broadcast()
    condition.unlock()
  }
}
