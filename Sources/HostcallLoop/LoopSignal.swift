import CLibuv

/// Calls a function on the loop thread when the process receives a signal.
///
/// Thread: the loop thread. Signals that arrive close together may be told once.
package final class LoopSignal: LoopHandle {
  private var onSignal: (() -> Void)?

  /// Takes over the signal from its default action, until `close()` or the end of the loop.
  ///
  /// Errors: `EINVAL` for a signal that cannot be caught, `ECANCELED` on a loop that is stopping.
  package init(_ loop: EventLoop, number: Int32, onSignal: @escaping () -> Void) throws(LoopError) {
    self.onSignal = onSignal
    super.init(loop)
    var code = open(uv_signal_t.self) { uv_signal_init($0, $1) }
    if code == 0 {
      code = uv_signal_start(uvPointer(uv_signal_t.self), { handle, _ in LoopSignal.recover(handle).arrive() }, number)
      // From a successful init on, only `uv_close` ends a handle.
      if code != 0 { close() }
    }
    guard code == 0 else { throw LoopError(attempted: "wait for signal \(number)", code: code) }
  }

  private func arrive() {
    guard isOpen else { return }
    onSignal?()
  }

  override func didClose() {
    onSignal = nil
  }
}
