import Glibc

/// A lock around a value, as `HeapLock`, at which threads can wait for the value to become something.
///
/// Thread: any but a loop's, for to wait is to block. Not recursive: taking it again inside itself stops the process.
///
/// `@unchecked Sendable` rule: the value is reached only under the lock, and it came in as `sending`.
package final class HeapCondition<State>: @unchecked Sendable {
  private let mutex = HeapMutex()
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private let value: UnsafeMutablePointer<State>

  /// Creates an unlocked lock around `initialValue`.
  package init(_ initialValue: sending State) {
    condition = .allocate(capacity: 1)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    // The clock that waits are measured by unless told otherwise is the one that people set.
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    let code = pthread_cond_init(condition, &attributes)
    precondition(code == 0, "pthread_cond_init failed with \(code)")
    pthread_condattr_destroy(&attributes)
    value = .allocate(capacity: 1)
    value.initialize(to: initialValue)
  }

  deinit {
    value.deinitialize(count: 1)
    value.deallocate()
    pthread_cond_destroy(condition)
    condition.deallocate()
  }

  /// The value as it is now.
  package var current: State {
    mutex.lock()
    defer { mutex.unlock() }
    return value.pointee
  }

  /// Runs `change` with the value, and wakes those who wait where it says so.
  package func change(_ change: (inout State) -> Bool) {
    mutex.lock()
    defer { mutex.unlock() }
    if change(&value.pointee) { pthread_cond_broadcast(condition) }
  }

  /// Waits until `take` gives something for the value.
  package func wait<Result>(_ take: (inout State) -> sending Result?) -> sending Result {
    mutex.lock()
    defer { mutex.unlock() }
    while true {
      if let result = take(&value.pointee) { return result }
      pthread_cond_wait(condition, mutex.pointer)
    }
  }

  /// Whether `holds` comes to be true within so much time.
  package func wait(milliseconds: Int, until holds: (State) -> Bool) -> Bool {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    deadline.tv_sec += milliseconds / 1_000
    deadline.tv_nsec += milliseconds % 1_000 * 1_000_000
    if deadline.tv_nsec >= 1_000_000_000 {
      deadline.tv_sec += 1
      deadline.tv_nsec -= 1_000_000_000
    }
    mutex.lock()
    defer { mutex.unlock() }
    while !holds(value.pointee) {
      if pthread_cond_timedwait(condition, mutex.pointer, &deadline) == ETIMEDOUT { return holds(value.pointee) }
    }
    return true
  }
}
