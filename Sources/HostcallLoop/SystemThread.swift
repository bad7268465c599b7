import CLibuv
import Glibc

/// A thread of the system, for what must block or must run a loop.
///
/// It is joined or detached, once.
package struct SystemThread {
  /// What a new thread is given.
  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }

    func run() {
      // The kernel takes 15 bytes and a NUL, and refuses more.
      pthread_setname_np(pthread_self(), String(decoding: name.utf8.prefix(15), as: UTF8.self))
      body()
    }
  }

  private var thread = pthread_t()

  /// Runs `body` on a new thread.
  ///
  /// - Parameter name: what tools show; its first 15 bytes.
  ///
  /// Errors: a limit on threads or memory is met; then `body` does not run.
  package init(named name: String, _ body: @escaping @Sendable () -> Void) throws(LoopError) {
    // Retained here, taken back by the thread, or below if there is none.
    let start = Unmanaged.passRetained(Start(name: name, body: body))
    let code = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, start.toOpaque())
    guard code == 0 else {
      start.release()
      throw LoopError(attempted: "start the thread \(name)", code: code, advice: "is a limit on threads or tasks met?")
    }
  }

  /// Waits for the end of the thread.
  package func join() {
    pthread_join(thread, nil)
  }

  /// Nobody will wait for the end of the thread.
  package func detach() {
    pthread_detach(thread)
  }
}
