/// The streams of a call that this process makes: none, one or both.
package struct CallerStreams: Sendable {
  /// What the worker sends, where the caller takes it.
  package let results: ItemReceiver?
  /// What the caller sends, where it does.
  package let arguments: ItemSender?

  /// What a call asks for. The caller has no credit until the worker begins to read.
  package init(_ parameters: CallParameters) {
    results = parameters.window > 0 ? ItemReceiver(window: parameters.window, credit: parameters.window) : nil
    arguments = parameters.flags.has(.open) ? ItemSender(credit: 0) : nil
  }

  /// The call has ended: no items come any more, and none reach anybody.
  package func end(_ outcome: CallOutcome, function: String) {
    let error: HostcallError? = if case .failure(let error) = outcome { error } else { nil }
    results?.end(error)
    arguments?.end(error ?? HostcallError(.status(.late), function: function, message: "the call has ended"))
  }
}
