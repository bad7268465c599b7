/// A mutual exclusion lock around a value, over a `pthread_mutex_t` at a fixed heap address.
///
/// `Synchronization.Mutex` would do, but it locks by futex, which ThreadSanitizer cannot see on Linux, so that every
/// use of it would be reported as a data race.
///
/// Thread: any. Not recursive: taking it again inside `withLock` stops the process.
///
/// `@unchecked Sendable` rule: the value is reached only through `withLock`, and it came in as `sending`.
package final class HeapLock<State: ~Copyable>: @unchecked Sendable {
  private let mutex = HeapMutex()
  private let value: UnsafeMutablePointer<State>

  /// Creates an unlocked lock around `initialValue`.
  package init(_ initialValue: consuming sending State) {
    value = .allocate(capacity: 1)
    value.initialize(to: initialValue)
  }

  deinit {
    value.deinitialize(count: 1)
    value.deallocate()
  }

  /// Runs `body` with the value while no other thread is in `withLock` of this lock.
  ///
  /// `body` is short and calls no code of a user.
  package func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout sending State) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    mutex.lock()
    defer { mutex.unlock() }
    return try body(&value.pointee)
  }
}
