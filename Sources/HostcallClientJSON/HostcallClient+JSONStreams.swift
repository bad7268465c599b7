public import HostcallClient
public import HostcallWire

extension HostcallClient {
  /// Calls a host function with a value as JSON, and takes result items as they come.
  ///
  /// ```swift
  /// for try await item in try client.stream("numbers", json: Range(first: 1, last: 9)) {
  ///   let number = try item.decode(Int.self)
  /// }
  /// ```
  /// The other parameters are those of `stream`. Errors: SERIALIZATION where the value cannot be encoded.
  public func stream(
    _ function: String, json input: some Encodable & Sendable, timeout: Duration? = nil, options: CallOptions = [],
    metadata: Metadata = [:], window: Int? = nil
  ) throws(HostcallError) -> HostcallStream {
    stream(
      function, try JSONPayload(input, for: function), timeout: timeout, options: options, metadata: metadata,
      window: window)
  }

  /// Publishes a value as JSON, and says how many subscribers there were; parameters are those of `publish`.
  @discardableResult
  public func publish(
    _ name: String, json value: some Encodable & Sendable, metadata: Metadata = [:]
  ) async throws(HostcallError) -> Int {
    try await publish(name, JSONPayload(value, for: name), metadata: metadata)
  }
}

extension HostcallResults {
  /// Sends a value as JSON, as an item.
  ///
  /// Errors: those of `send`, and SERIALIZATION where the value cannot be encoded.
  public func send(json value: some Encodable & Sendable) async throws(HostcallError) {
    try await send(JSONPayload(value, for: function))
  }
}
