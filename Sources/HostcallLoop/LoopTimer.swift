import CLibuv

/// Calls a function once, some milliseconds later.
///
/// Thread: the loop thread. On a loop that is stopping the timer is closed from the start and never fires.
package final class LoopTimer: LoopHandle {
  private var onFire: (() -> Void)?

  /// Makes a timer that waits for `schedule`.
  ///
  /// It and `onFire` live until `close()` or the end of the loop.
  package init(_ loop: EventLoop, onFire: @escaping () -> Void) {
    self.onFire = onFire
    super.init(loop)
    // `uv_timer_init` cannot fail; the only code is that of a loop that is stopping, which leaves the timer closed.
    _ = open(uv_timer_t.self) { uv_timer_init($0, $1) }
  }

  /// Fires once, no earlier than this many milliseconds from now; replaces what was scheduled before.
  ///
  /// Zero fires in the next turn of the loop.
  package func schedule(afterMilliseconds milliseconds: UInt64) {
    loop.preconditionIsCurrent("LoopTimer.schedule")
    guard isOpen else { return }
    // libuv counts from the start of the turn, in whole milliseconds: without the update a long turn makes a timer
    // fire early, and without the one more so does the rounding.
    uv_update_time(loop.uvLoop)
    let delay = milliseconds == 0 || milliseconds == .max ? milliseconds : milliseconds + 1
    let code = uv_timer_start(uvPointer(uv_timer_t.self), { LoopTimer.recover($0).fire() }, delay, 0)
    precondition(code == 0, "uv_timer_start failed with \(code)")
  }

  /// Forgets what was scheduled; the timer can be scheduled again.
  package func cancel() {
    loop.preconditionIsCurrent("LoopTimer.cancel")
    guard isOpen else { return }
    uv_timer_stop(uvPointer(uv_timer_t.self))
  }

  private func fire() {
    guard isOpen else { return }
    onFire?()
  }

  override func didClose() {
    onFire = nil
  }
}
