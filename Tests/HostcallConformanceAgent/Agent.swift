import HostcallClient

/// What the driver has made of this program: one client, and what it does, by the driver's tags.
///
/// A command is begun in the order of its line and ends whenever it does; none holds another up.
actor Agent {
  /// The first wait before the client connects again, and the longest: a test does not want to wait.
  private static let reconnectDelays: (first: Duration, longest: Duration) = (.milliseconds(10), .milliseconds(100))

  private let socketPath: String
  private var connected: HostcallClient?
  var calls: [String: OngoingCall] = [:]
  var registrations: [String: HostcallRegistration] = [:]
  var invocations: [String: Invocation] = [:]
  var invocationCounts: [String: Int] = [:]
  var subscriptions: [String: Subscription] = [:]

  init(socketPath: String) {
    self.socketPath = socketPath
  }

  /// Begins what a command says.
  func obey(_ command: Command) throws(Misunderstanding) {
    switch command.word {
    case "connect": connect(command.tag)
    case "ping":
      let client = try client()
      run(command.tag) { () throws(HostcallError) in
        try await client.ping()
        return .done(command.tag)
      }
    case "close":
      let client = try client()
      Task {
        await client.close()
        Report.done(command.tag).print()
      }
    case "shutdown":
      let client = try client()
      Task {
        await client.shutdown()
        Report.done(command.tag).print()
      }
    case "call": try call(command)
    case "take": try take(command)
    case "send": try send(command)
    case "end": try call(tagged: command.tag).endArguments()
    case "cancel": try call(tagged: command.tag).cancel()
    case "register": try register(command)
    case "complete", "raise": try complete(command)
    case "unregister": try unregister(command)
    case "subscribe": try subscribe(command)
    case "unsubscribe": try unsubscribe(command)
    case "publish": try publish(command)
    case "bench": try bench(command)
    default: throw Misunderstanding("\(command.word) is no command")
    }
  }

  /// Closes the client: the driver has said all it had to.
  func leave() async {
    await connected?.close()
  }

  private func connect(_ tag: String) {
    run(tag) { [self] () throws(HostcallError) in
      let reconnect = ReconnectPolicy.whenRegistered(
        initialDelay: Self.reconnectDelays.first, maximumDelay: Self.reconnectDelays.longest)
      let client = try await HostcallClient.connect(
        .init(socketPath: socketPath, clientName: "hostcall-conformance-agent/1", reconnect: reconnect))
      await keep(client)
      return .done(tag)
    }
  }

  private func keep(_ client: HostcallClient) {
    connected = client
  }

  /// The client, which `connect` has to have made.
  func client() throws(Misunderstanding) -> HostcallClient {
    guard let connected else { throw Misunderstanding("not connected") }
    return connected
  }

  /// Runs something that ends with one report, or with an error.
  nonisolated func run(
    _ tag: String, _ body: @escaping @Sendable () async throws(HostcallError) -> Report
  ) {
    Task {
      do throws(HostcallError) {
        try await body().print()
      } catch {
        Report.error(tag, error).print()
      }
    }
  }

  /// Items of a call, arguments of an invocation, or events that were held.
  private func take(_ command: Command) throws(Misunderstanding) {
    guard let count = try command.number("count") else { throw Misunderstanding("no count=") }
    if let call = calls[command.tag] { return try call.take(count) }
    if let invocation = invocations[command.tag] { return invocation.take(count) }
    guard let subscription = subscriptions[command.tag] else { throw Misunderstanding("nothing to take from") }
    subscription.take(count)
  }

  /// An argument of a call, or a result item of an invocation.
  private func send(_ command: Command) throws(Misunderstanding) {
    if let invocation = invocations[command.tag] { return invocation.send(try command.item()) }
    try call(tagged: command.tag).send(try command.item())
  }
}
