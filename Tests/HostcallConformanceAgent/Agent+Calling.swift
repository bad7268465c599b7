import HostcallClient

extension Agent {
  /// Makes a call, plain or with items either way.
  func call(_ command: Command) throws(Misunderstanding) {
    let request = try CallRequest(command)
    let client = try client()
    let inherited = try command.text("inside").map { call throws(Misunderstanding) in
      guard let invocation = invocations[call] else { throw Misunderstanding("no invocation \(call)") }
      return invocation.inherited
    }
    calls[command.tag] = HostcallContext.$current.withValue(inherited ?? nil) {
      OngoingCall(command.tag, request, by: client)
    }
  }

  /// A call that was begun.
  func call(tagged tag: String) throws(Misunderstanding) -> OngoingCall {
    guard let call = calls[tag] else { throw Misunderstanding("no call \(tag)") }
    return call
  }
}

/// What a call is to be made with.
struct CallRequest: Sendable {
  let name: String
  let payload: HostcallItem
  let timeout: Duration?
  let options: CallOptions
  let metadata: Metadata
  let wantsReply: Bool
  let window: Int?
  let hasArguments: Bool

  init(_ command: Command) throws(Misunderstanding) {
    name = try command.needed("name")
    payload = try command.item()
    timeout = try command.milliseconds("timeout")
    var options = CallOptions()
    if command.says("wait") { options.insert(.wait) }
    if command.says("idempotent") { options.insert(.idempotent) }
    self.options = options
    metadata = try command.metadata()
    wantsReply = !command.says("no-reply")
    window = try command.number("window")
    hasArguments = command.says("arguments")
  }
}

/// A call under way, and its items in both directions.
struct OngoingCall: Sendable {
  private let task: Task<Void, Never>
  private let arguments: AsyncStream<HostcallItem>.Continuation?
  private let takes: AsyncStream<Int>.Continuation?

  /// Begins a call. Its task inherits the context of whoever begins it.
  init(_ tag: String, _ request: CallRequest, by client: HostcallClient) {
    let told = request.hasArguments ? ToldArguments(tag) : nil
    let takes = request.window.map { _ in AsyncStream<Int>.makeStream() }
    arguments = told?.continuation
    self.takes = takes?.continuation
    let taken = takes?.stream
    task = Task {
      do throws(HostcallError) {
        if !request.wantsReply {
          try await client.send(
            request.name, request.payload, timeout: request.timeout, options: request.options,
            metadata: request.metadata)
          Report.done(tag).print()
        } else if let taken {
          let response = try await Self.takeItems(tag, of: Self.stream(request, told, by: client), asToldBy: taken)
          Report.result(tag, response).print()
        } else {
          Report.result(tag, try await Self.response(request, told, by: client)).print()
        }
      } catch {
        Report.error(tag, error).print()
      }
    }
  }

  func take(_ count: Int) throws(Misunderstanding) {
    guard let takes else { throw Misunderstanding("a call without window takes no items") }
    takes.yield(count)
  }

  func send(_ item: HostcallItem) throws(Misunderstanding) {
    guard let arguments else { throw Misunderstanding("a call without arguments") }
    arguments.yield(item)
  }

  func endArguments() throws(Misunderstanding) {
    guard let arguments else { throw Misunderstanding("a call without arguments") }
    arguments.finish()
  }

  func cancel() {
    task.cancel()
  }

  private static func response(
    _ request: CallRequest, _ arguments: ToldArguments?, by client: HostcallClient
  ) async throws(HostcallError) -> HostcallResponse {
    guard let arguments else {
      return try await client.call(
        request.name, request.payload, timeout: request.timeout, options: request.options, metadata: request.metadata)
    }
    return try await client.call(
      request.name, request.payload, arguments: arguments, timeout: request.timeout, options: request.options,
      metadata: request.metadata)
  }

  private static func stream(
    _ request: CallRequest, _ arguments: ToldArguments?, by client: HostcallClient
  ) -> HostcallStream {
    guard let arguments else {
      return client.stream(
        request.name, request.payload, timeout: request.timeout, options: request.options, metadata: request.metadata,
        window: request.window)
    }
    return client.stream(
      request.name, request.payload, arguments: arguments, timeout: request.timeout, options: request.options,
      metadata: request.metadata, window: request.window)
  }

  /// Takes as many items as is told, and then gives the outcome.
  private static func takeItems(
    _ tag: String, of stream: HostcallStream, asToldBy takes: AsyncStream<Int>
  ) async throws(HostcallError) -> HostcallResponse {
    let items = stream.makeAsyncIterator()
    for await count in takes {
      for _ in 0..<count {
        guard let item = try await items.next() else { return try await stream.response }
        Report.item(tag, item).print()
      }
    }
    // The call was cancelled: what comes now is its outcome.
    while try await items.next() != nil {}
    return try await stream.response
  }
}

/// The argument items of a call as the driver tells them. Each is reported as sent when the next is asked for.
struct ToldArguments: AsyncSequence, Sendable {
  let continuation: AsyncStream<HostcallItem>.Continuation
  private let stream: AsyncStream<HostcallItem>
  private let tag: String

  init(_ tag: String) {
    (stream, continuation) = AsyncStream.makeStream()
    self.tag = tag
  }

  func makeAsyncIterator() -> Iterator {
    Iterator(items: stream.makeAsyncIterator(), tag: tag)
  }

  struct Iterator: AsyncIteratorProtocol {
    var items: AsyncStream<HostcallItem>.Iterator
    let tag: String
    private var hasGiven = false

    init(items: AsyncStream<HostcallItem>.Iterator, tag: String) {
      self.items = items
      self.tag = tag
    }

    mutating func next() async -> HostcallItem? {
      if hasGiven { Report(tag, "sent").print() }
      let item = await items.next()
      hasGiven = item != nil
      return item
    }
  }
}
