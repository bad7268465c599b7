import CLibuv

/// Calls a function once in every turn of the loop, right before the loop blocks for I/O.
///
/// The place for what should happen once for all that a turn brought, such as flushing every connection that got
/// output from timers, jobs or I/O. It neither keeps the loop alive nor wakes it: no turn, no call.
///
/// Thread: the loop thread. On a loop that is stopping the hook is closed from the start and never called.
package final class LoopTurnHook: LoopHandle {
  private var beforeBlocking: (() -> Void)?

  /// Starts calling `beforeBlocking`, until `close()` or the end of the loop.
  package init(_ loop: EventLoop, beforeBlocking: @escaping () -> Void) {
    self.beforeBlocking = beforeBlocking
    super.init(loop)
    guard open(uv_prepare_t.self, { uv_prepare_init($0, $1) }) == 0 else { return }
    let prepare = uvPointer(uv_prepare_t.self)
    uv_prepare_start(prepare) { LoopTurnHook.recover($0).turn() }
    prepare.withMemoryRebound(to: uv_handle_t.self, capacity: 1) { uv_unref($0) }
  }

  private func turn() {
    guard isOpen else { return }
    beforeBlocking?()
  }

  override func didClose() {
    beforeBlocking = nil
  }
}
