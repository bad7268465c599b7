import HostcallClient

/// A call with everything that it takes along, read and checked.
struct PreparedCall: Sendable {
  let name: String
  let payload: [UInt8]
  let encoding: PayloadEncoding
  let timeout: Duration?
  let options: CallOptions
  let metadata: Metadata
  let fileNames: [String]
  /// The argument items, where there are any.
  let lines: InputLines?

  func send(by client: HostcallClient) async throws {
    let files = try PassedFiles(fileNames)
    try await client.send(
      name, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
      descriptors: files.numbers)
  }

  /// Waits for the result.
  func run(by client: HostcallClient) async throws -> HostcallResponse {
    let files = try PassedFiles(fileNames)
    guard let lines else {
      return try await client.call(
        name, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: files.numbers)
    }
    return try await client.call(
      name, payload, arguments: lines, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
      descriptors: files.numbers)
  }

  /// Writes items as they come, and then gives the result.
  func stream(by client: HostcallClient, raw: Bool) async throws -> HostcallResponse {
    let stream = try begin(by: client)
    for try await item in stream { try Output.write(item.payload, asLine: !raw) }
    return try await stream.response
  }

  private func begin(by client: HostcallClient) throws(CommandFailure) -> HostcallStream {
    // Closed as soon as the call has duplicates.
    let files = try PassedFiles(fileNames)
    guard let lines else {
      return client.stream(
        name, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
        descriptors: files.numbers)
    }
    return client.stream(
      name, payload, arguments: lines, encoding: encoding, timeout: timeout, options: options, metadata: metadata,
      descriptors: files.numbers)
  }
}
