import Glibc

/// A `pthread_mutex_t` at a fixed heap address, for the locks of this module.
///
/// Thread: any. Not recursive: one thread that takes it twice stops the process.
struct HeapMutex: ~Copyable {
  /// The mutex, for as long as this lasts.
  let pointer: UnsafeMutablePointer<pthread_mutex_t>

  /// Creates an unlocked mutex.
  init() {
    pointer = .allocate(capacity: 1)
    var attributes = pthread_mutexattr_t()
    pthread_mutexattr_init(&attributes)
    // Error checking turns a recursive lock, which would hang, into a stop with a message.
    pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_ERRORCHECK))
    let code = pthread_mutex_init(pointer, &attributes)
    precondition(code == 0, "pthread_mutex_init failed with \(code)")
    pthread_mutexattr_destroy(&attributes)
  }

  deinit {
    pthread_mutex_destroy(pointer)
    pointer.deallocate()
  }

  /// Waits until no other thread has it, and takes it.
  func lock() {
    let code = pthread_mutex_lock(pointer)
    precondition(code == 0, "a lock was taken twice by one thread")
  }

  /// Gives it back.
  func unlock() {
    pthread_mutex_unlock(pointer)
  }
}
