public import HostcallWire

/// Where a handler sends result items, before it returns the result (protocol section 4, *Streams*).
///
/// ```swift
/// try await client.register("numbers") { request in
///   for number in 0..<1_000 { try await request.results.send("\(number)") }
/// }
/// ```
/// Thread: any; several tasks may send, each waits for its turn.
public struct HostcallResults: Sendable {
  /// The name that was called.
  public let function: String
  let correlationID: UInt64
  package let largestItemBytes: Int
  package let items: ItemSender?
  package let port: (any CallPort)?

  /// Whether the caller takes items: it does where it called by `stream`, and not where it called by `call`.
  public var areTaken: Bool { items != nil }

  /// Sends an item; waits while the caller does not take more.
  ///
  /// Returns when the item is on its way, not when it has arrived. Items arrive in the order in which they were sent,
  /// and before the result.
  /// - Throws: ``HostcallError``: INVALID_ARGUMENT where the caller takes no items, TOO_LARGE, and the reason when the
  ///   call has ended, after which nobody wants any more items.
  public func send(
    _ payload: some HostcallPayload, encoding: PayloadEncoding? = nil
  ) async throws(HostcallError) {
    let bytes = payload.payloadBytes
    let encoding = encoding ?? payload.payloadEncoding
    guard let items else {
      throw error(.invalidArgument, "the caller takes no items: it called by call, not by stream (see areTaken)")
    }
    guard encoding.isAssigned else { throw error(.invalidArgument, "the encoding \(encoding) is reserved") }
    guard bytes.count <= largestItemBytes else {
      throw error(
        .status(.tooLarge),
        "the item has \(bytes.count) bytes, and the daemon takes \(largestItemBytes) at most (max-frame)")
    }
    try await items.reserve()
    if try items.put(bytes, encoding: encoding) { port?.sendPendingItems() }
  }

  private func error(_ code: HostcallError.Code, _ message: String) -> HostcallError {
    HostcallError(code, function: function, correlationID: correlationID, message: message)
  }
}
