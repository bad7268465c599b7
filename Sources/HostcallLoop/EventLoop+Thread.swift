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
  /// What a new thread is given: the loop, retained once, and what to run.
  private final class ThreadStart {
    let loop: EventLoop
    let name: String
    let body: (EventLoop) -> Void

    init(loop: EventLoop, name: String, body: @escaping (EventLoop) -> Void) {
      self.loop = loop
      self.name = name
      self.body = body
    }

    func run() {
      // The kernel takes 15 bytes and a NUL, and refuses more.
      pthread_setname_np(pthread_self(), String(decoding: name.utf8.prefix(15), as: UTF8.self))
      pthread_setspecific(LoopThreadKey.key, Unmanaged.passUnretained(loop).toOpaque())
      body(loop)
      pthread_setspecific(LoopThreadKey.key, nil)
    }
  }

  /// Starts a thread on which `isCurrent` holds.
  func startThread(
    named name: String, detached: Bool, _ body: @escaping (EventLoop) -> Void
  ) throws(LoopError) -> pthread_t {
    // Retained here, taken back by the thread, or below if there is none.
    let start = Unmanaged.passRetained(ThreadStart(loop: self, name: name, body: body))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, start.toOpaque())
    guard code == 0 else {
      start.release()
      throw LoopError(attempted: "start the thread \(name)", code: code, advice: "is a limit on threads or tasks met?")
    }
    if detached { pthread_detach(thread) }
    return thread
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
      _ = try startThread(named: "loop-stand-in", detached: true) { $0.drainToTheEnd() }
    } catch {
      // A dropped job would be a task that never ends, with nothing to say why.
      preconditionFailure("\(error), to run a task whose event loop has stopped")
    }
  }
}
