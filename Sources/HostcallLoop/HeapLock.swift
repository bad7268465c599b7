import Glibc

/// A mutual exclusion lock around a value, over a `pthread_mutex_t` at a fixed heap address.
///
/// `Synchronization.Mutex` would do, but it locks by futex, which ThreadSanitizer cannot see on Linux, so that every
/// use of it would be reported as a data race.
///
/// Thread: any. Not recursive: taking it again inside `withLock` stops the process.
///
/// `@unchecked Sendable` rule: the value is reached only through `withLock`, and it came in as `sending`.
package final class HeapLock<State: ~Copyable>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let value: UnsafeMutablePointer<State>

  /// Creates an unlocked lock around `initialValue`.
  package init(_ initialValue: consuming sending State) {
    mutex = .allocate(capacity: 1)
    let attributes = UnsafeMutablePointer<pthread_mutexattr_t>.allocate(capacity: 1)
    pthread_mutexattr_init(attributes)
    // Error checking turns a recursive lock, which would hang, into a stop with a message.
    pthread_mutexattr_settype(attributes, Int32(PTHREAD_MUTEX_ERRORCHECK))
    let code = pthread_mutex_init(mutex, attributes)
    precondition(code == 0, "pthread_mutex_init failed with \(code)")
    pthread_mutexattr_destroy(attributes)
    attributes.deallocate()
    value = .allocate(capacity: 1)
    value.initialize(to: initialValue)
  }

  deinit {
    value.deinitialize(count: 1)
    value.deallocate()
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// Runs `body` with the value while no other thread is in `withLock` of this lock.
  ///
  /// `body` is short and calls no code of a user.
  package func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout sending State) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    let code = pthread_mutex_lock(mutex)
    precondition(code == 0, "a HeapLock was taken twice by one thread")
    defer { pthread_mutex_unlock(mutex) }
    return try body(&value.pointee)
  }
}
