import Glibc

/// Closes descriptors that may take long to close, on threads of its own.
///
/// Closing waits where the last reference to a TCP socket lingers over unsent data, or a file's system has to be asked:
/// for seconds, or for ever. Whoever passes such a descriptor decides that, so the loop never closes one itself, nor a
/// socket in which one may still lie unread. The number is free as soon as closing begins; only a thread is stuck.
///
/// Thread: any.
///
/// `@unchecked Sendable` rule: the state is behind a lock, and the semaphore is for any thread.
final class DescriptorCloser: @unchecked Sendable {
  /// How many threads close at once: as many descriptors have to hang before others wait for them.
  static let maximumThreads = 8
  /// With more descriptors waiting than this, connections that have brought some are not read from.
  static let maximumBacklog = 256

  static let shared = DescriptorCloser()

  private struct State {
    /// Those before `first` are taken; their places are given back when all are.
    var queue: [Int32] = []
    var first = 0
    var threads = 0
    /// How many of the threads are closing.
    var busyThreads = 0

    var backlog: Int { queue.count - first }

    mutating func take() -> Int32 {
      let descriptor = queue[first]
      first += 1
      if first == queue.count {
        queue.removeAll(keepingCapacity: first <= 4 * maximumBacklog)
        first = 0
      }
      return descriptor
    }

    /// Whether one more thread should be started, because none is left for what waits; counts it as started.
    mutating func needsThread() -> Bool {
      guard backlog > 0, busyThreads == threads, threads < maximumThreads else { return false }
      threads += 1
      return true
    }
  }

  private let state = HeapLock(State())
  /// Counts the descriptors in the queue.
  private let available: UnsafeMutablePointer<sem_t>

  private init() {
    available = .allocate(capacity: 1)
    let code = sem_init(available, 0, 0)
    precondition(code == 0, "sem_init failed")
  }

  /// Whether so many descriptors wait to be closed that no more should be received.
  var isBehind: Bool { state.withLock { $0.backlog > Self.maximumBacklog } }

  /// Closes descriptors soon.
  func close(_ descriptors: [Int32]) {
    guard !descriptors.isEmpty else { return }
    let needsThread = state.withLock { state in
      state.queue.append(contentsOf: descriptors)
      return state.needsThread()
    }
    for _ in descriptors { sem_post(available) }
    if needsThread { startThread() }
  }

  /// Closes a connected socket: at once, unless something lies in it unread, which may be such a descriptor.
  func closeSocket(_ descriptor: Int32) {
    // From here on nothing can be added to what is unread.
    shutdown(descriptor, Int32(SHUT_RDWR))
    var unreadBytes: Int32 = 0
    if ioctl(descriptor, UInt(FIONREAD), &unreadBytes) == 0, unreadBytes == 0 {
      Glibc.close(descriptor)
    } else {
      close([descriptor])
    }
  }

  private func startThread() {
    do throws(LoopError) {
      try SystemThread(named: "close") { self.closeForEver() }.detach()
    } catch {
      // What is to be closed next tries again; until a thread can be had, descriptors wait.
      state.withLock { $0.threads -= 1 }
    }
  }

  private func closeForEver() {
    while true {
      while sem_wait(available) != 0 {}
      // This one may hang, so somebody else has to be there for the next.
      let (descriptor, needsThread) = state.withLock { state in
        state.busyThreads += 1
        return (state.take(), state.needsThread())
      }
      if needsThread { startThread() }
      Glibc.close(descriptor)
      state.withLock { $0.busyThreads -= 1 }
    }
  }
}
