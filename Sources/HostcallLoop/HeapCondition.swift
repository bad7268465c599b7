import Glibc

/// A lock around a value, as `HeapLock`, at which threads can wait for the value to become something.
///
/// Thread: any but a loop's, for to wait is to block. Not recursive: taking it again inside itself stops the process.
///
/// `@unchecked Sendable` rule: the value is reached only under the lock, and it came in as `sending`.
package final class HeapCondition<State>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private let value: UnsafeMutablePointer<State>

  /// Creates an unlocked lock around `initialValue`.
  package init(_ initialValue: sending State) {
    mutex = .allocate(capacity: 1)
    let attributes = UnsafeMutablePointer<pthread_mutexattr_t>.allocate(capacity: 1)
    pthread_mutexattr_init(attributes)
    pthread_mutexattr_settype(attributes, Int32(PTHREAD_MUTEX_ERRORCHECK))
    pthread_mutex_init(mutex, attributes)
    pthread_mutexattr_destroy(attributes)
    attributes.deallocate()
    condition = .allocate(capacity: 1)
    let conditionAttributes = UnsafeMutablePointer<pthread_condattr_t>.allocate(capacity: 1)
    pthread_condattr_init(conditionAttributes)
    // The clock that waits are measured by unless told otherwise is the one that people set.
    pthread_condattr_setclock(conditionAttributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, conditionAttributes)
    pthread_condattr_destroy(conditionAttributes)
    conditionAttributes.deallocate()
    value = .allocate(capacity: 1)
    value.initialize(to: initialValue)
  }

  deinit {
    value.deinitialize(count: 1)
    value.deallocate()
    pthread_cond_destroy(condition)
    condition.deallocate()
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// Runs `change` with the value, and wakes those who wait where it says so.
  package func change(_ change: (inout State) -> Bool) {
    lock()
    defer { pthread_mutex_unlock(mutex) }
    if change(&value.pointee) { pthread_cond_broadcast(condition) }
  }

  /// Waits until `take` gives something for the value.
  package func wait<Result>(_ take: (inout State) -> sending Result?) -> sending Result {
    lock()
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = take(&value.pointee) { return result }
      pthread_cond_wait(condition, mutex)
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
    lock()
    defer { pthread_mutex_unlock(mutex) }
    while !holds(value.pointee) {
      if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return holds(value.pointee) }
    }
    return true
  }

  private func lock() {
    let code = pthread_mutex_lock(mutex)
    precondition(code == 0, "a HeapCondition was taken twice by one thread")
  }
}
