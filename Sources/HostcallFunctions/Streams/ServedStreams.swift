package import HostcallWire

/// The streams of a call that this process answers: none, one or both.
package struct ServedStreams: Sendable {
  /// What the caller sends, where it does.
  package let arguments: ItemReceiver?
  /// What the handler sends, where the caller takes it.
  package let results: ItemSender?

  /// What an INVOKE asks for. The caller has no credit until the handler begins to read.
  package init(_ invoke: FrameHeader, window: Int) {
    arguments = invoke.flags.has(.open) ? ItemReceiver(window: ItemWindow.clamped(window), credit: 0) : nil
    results = invoke.aux > 0 ? ItemSender(credit: invoke.aux) : nil
  }

  /// The call has ended, so its items reach nobody.
  ///
  /// - Parameter cancel: cancels the handler's task. It runs before the handler can go on, which would otherwise not be
  ///   cancelled any more when it leaves a `withTaskCancellationHandler` with the error that it gets here.
  package func end(_ error: HostcallError, cancel: () -> Void = {}) {
    arguments?.close(error)
    results?.close(error)
    cancel()
    arguments?.end(error)
    results?.end(error)
  }
}
