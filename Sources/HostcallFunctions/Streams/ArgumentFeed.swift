/// Sends the elements of a sequence as the argument items of a call.
package enum ArgumentFeed {
  /// Runs until the sequence or the call ends.
  ///
  /// The sequence is asked for an element as soon as the one before it has left: only so is its end told to a worker
  /// that gives no credit for nothing. The end is an empty item with LAST, which needs no credit. An error of the
  /// sequence cancels the call, which then ends with that error.
  package static func run<Arguments: AsyncSequence>(
    _ arguments: Arguments, into sender: ItemSender, by port: some CallerPort, function: String
  ) async where Arguments.Element: HostcallPayload {
    var iterator = arguments.makeAsyncIterator()
    while true {
      let element: Arguments.Element?
      do {
        element = try await iterator.next()
      } catch {
        return port.cancel(
          HostcallError(
            .status(.cancelled), function: function, message: "its arguments ended with an error: \(error)"))
      }
      let encoding = element?.payloadEncoding ?? .raw
      guard encoding.isAssigned else {
        return port.cancel(
          HostcallError(
            .invalidArgument, function: function, message: "the encoding \(encoding) of an argument is reserved"))
      }
      do throws(HostcallError) {
        if element != nil { try await sender.reserve() }
        let isFirst = try sender.put(element?.payloadBytes ?? [], encoding: encoding, isLast: element == nil)
        if isFirst { port.sendPendingItems() }
      } catch {
        // The call is over, and whoever made it is told elsewhere.
        return
      }
      if element == nil { return }
    }
  }
}
