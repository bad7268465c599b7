import FoundationEssentials
public import HostcallClient
public import HostcallWire

extension HostcallClient {
  /// Calls a host function with a value as JSON, and reads its result as JSON.
  ///
  /// ```swift
  /// let token = try await client.call("token.fetch", json: TokenRequest(user: "alice"), as: Token.self)
  /// ```
  /// The other parameters are those of `call`. Errors: SERIALIZATION, origin client, where a value cannot be encoded or
  /// the result is not what `Output` asks for.
  public func call<Output: Decodable & Sendable>(
    _ function: String, json input: some Encodable & Sendable, as output: Output.Type = Output.self,
    timeout: Duration? = nil, options: CallOptions = [], metadata: Metadata = [:]
  ) async throws(HostcallError) -> Output {
    let response = try await call(
      function, JSONPayload(input, for: function), timeout: timeout, options: options, metadata: metadata)
    do {
      return try JSONDecoder().decode(output, from: Data(response.payload))
    } catch {
      throw HostcallError(
        .status(.serialization), function: function, correlationID: response.correlationID,
        message: "the result is not JSON of a \(output): \(error)", payload: response.payload,
        encoding: response.encoding)
    }
  }

  /// Calls a host function with a value as JSON, and wants no answer; parameters are those of `send`.
  public func send(
    _ function: String, json input: some Encodable & Sendable, timeout: Duration? = nil, options: CallOptions = [],
    metadata: Metadata = [:]
  ) async throws(HostcallError) {
    try await send(
      function, JSONPayload(input, for: function), timeout: timeout, options: options, metadata: metadata)
  }

  /// Registers a host function that takes a value as JSON and answers with one.
  ///
  /// ```swift
  /// try await client.register("token.fetch") { (input: TokenRequest, request) in Token(for: input.user) }
  /// ```
  /// The other parameters are those of `register`. A call whose payload is not what `Input` asks for ends with
  /// SERIALIZATION, and the handler does not run.
  @discardableResult
  public func register<Input: Decodable & Sendable, Output: Encodable & Sendable>(
    _ name: String, concurrency: Int = 0, mode: RegistrationMode = .shared, timeout: Duration? = nil,
    idempotent: Bool = false, callerIdentity: Bool = false,
    handler: @escaping @Sendable (Input, HostcallRequest) async throws -> Output
  ) async throws(HostcallError) -> HostcallRegistration {
    try await register(
      name, concurrency: concurrency, mode: mode, timeout: timeout, idempotent: idempotent,
      callerIdentity: callerIdentity
    ) { request in
      let input: Input
      do {
        input = try JSONDecoder().decode(Input.self, from: Data(request.payload))
      } catch {
        throw HostcallFailure(
          status: .serialization, payload: "\(request.function): the payload is not JSON of a \(Input.self): \(error)")
      }
      let output = try await handler(input, request)
      do {
        return HostcallReply([UInt8](try JSONEncoder().encode(output)), encoding: .json)
      } catch {
        throw HostcallFailure(
          status: .serialization, payload: "\(request.function): its \(Output.self) cannot be encoded: \(error)")
      }
    }
  }
}
