import CLibuv
import Glibc

// Leaving: close every handle, then the wake-up, let `uv_run` return by itself, and require that nothing is left.
extension EventLoop {
  /// Closes every handle that is still open, ends the loop, and returns when its thread is gone.
  ///
  /// From any task; calling it again waits for the same end. No callback of a handle comes once the closing has begun.
  package func stop() async {
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let (isOver, isFirst) = inbox.withLock { inbox in
        let isOver = inbox.phase == .ended || inbox.phase == .standIn
        if !isOver { inbox.stopWaiters.append(continuation) }
        let isFirst = !inbox.stopIsRequested
        inbox.stopIsRequested = true
        return (isOver, isFirst)
      }
      if isOver { continuation.resume() }
      if isFirst { execute { self.beginStopping() } }
    }
    // The thread has nothing left to do but return, so this takes no noticeable time.
    let ended = thread.withLock { thread in
      let ended = thread
      thread = nil
      return ended
    }
    if let ended { ended.join() }
  }

  private func beginStopping() {
    precondition(!isStopping, "the loop is told to stop once")
    isStopping = true
    for handle in openHandles.all() { handle.close() }
    if openHandles.count == 0 { closeWakeUp() }
  }

  /// Forgets a handle whose closing is done; when it was the last of a stopping loop, closes the wake-up.
  func handleDidClose(_ handle: LoopHandle) {
    openHandles.remove(handle)
    if isStopping && openHandles.count == 0 { closeWakeUp() }
  }

  /// Closes the last handle, after which `uv_run` returns.
  func closeWakeUp() {
    inbox.withLock { inbox in
      inbox.phase = .ending
      wakeUp.withMemoryRebound(to: uv_handle_t.self, capacity: 1) { uv_close($0, nil) }
    }
  }

  /// Gives back the loop and its memory after `uv_run` has returned, or when the thread could not be started.
  func finishLoop() {
    // Nothing is left to run in the first case; in the second this is the turn that finishes closing the wake-up.
    uv_run(uvLoop, UV_RUN_DEFAULT)
    let code = uv_loop_close(uvLoop)
    precondition(code == 0, "uv_loop_close found something open: \(LoopError.text(ofCode: -code))")
    wakeUp.deallocate()
    uvLoop.deallocate()
  }
}
