import CLibuv
import Glibc

/// The key under which each thread keeps the loop it runs.
///
/// A thread id would not do: it is used again after a join.
enum LoopThreadKey {
  static let key: pthread_key_t = {
    var key = pthread_key_t()
    let code = pthread_key_create(&key, nil)
    precondition(code == 0, "pthread_key_create failed with \(code)")
    return key
  }()
}

// The loop's thread and the threads that stand in for it after its end.
extension EventLoop {
  /// Starts a thread on which `isCurrent` holds.
  func startThread(
    named name: String, _ body: @escaping @Sendable (EventLoop) -> Void
  ) throws(LoopError) -> SystemThread {
    try SystemThread(named: name) {
      pthread_setspecific(LoopThreadKey.key, Unmanaged.passUnretained(self).toOpaque())
      body(self)
      pthread_setspecific(LoopThreadKey.key, nil)
    }
  }

  /// The whole life of the loop's thread.
  func run() {
    uv_run(uvLoop, UV_RUN_DEFAULT)
    finishLoop()
    drainToTheEnd()
    let waiters = inbox.withLock { inbox in
      let waiters = inbox.stopWaiters
      inbox.stopWaiters = []
      return waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Has a thread of its own run what arrives after the end.
  ///
  /// Called under the inbox's lock.
  func startStandIn() {
    do throws(LoopError) {
      try startThread(named: "loop-stand-in") { $0.drainToTheEnd() }.detach()
    } catch {
      // A dropped job would be a task that never ends, with nothing to say why.
      preconditionFailure("\(error), to run a task whose event loop has stopped")
    }
  }
}
