/// Sends the elements of a sequence as the argument items of a call.
package enum ArgumentFeed {
  /// Runs until the sequence or the call ends.
  ///
  /// The sequence is asked for an element only when the worker can take one. Its end is an empty item with LAST; its
  /// error cancels the call, which then ends with that error.
  package static func run<Arguments: AsyncSequence>(
    _ arguments: Arguments, into sender: ItemSender, by port: any CallPort, function: String
  ) async where Arguments.Element: HostcallPayload {
    var iterator = arguments.makeAsyncIterator()
    while true {
      do throws(HostcallError) {
        try await sender.reserve()
      } catch {
        return
      }
      let element: Arguments.Element?
      do {
        element = try await iterator.next()
      } catch {
        return port.cancel(
          HostcallError(.status(.cancelled), function: function, message: "its arguments ended with an error: \(error)")
        )
      }
      let encoding = element?.payloadEncoding ?? .raw
      guard encoding.isAssigned else {
        return port.cancel(
          HostcallError(
            .invalidArgument, function: function, message: "the encoding \(encoding) of an argument is reserved"))
      }
      let isFirst = try? sender.put(element?.payloadBytes ?? [], encoding: encoding, isLast: element == nil)
      if isFirst == true { port.sendPendingItems() }
      if element == nil || isFirst == nil { return }
    }
  }
}
