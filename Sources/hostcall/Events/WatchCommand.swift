import ArgumentParser
import HostcallClient
import HostcallWire

/// `hostcall watch`: events as they come, a line each.
struct WatchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Write the events of a name or pattern as they come, until interrupted.",
    discussion: """
      Each event is a line: its name and its payload, or with --json all there is to know. When events were lost, \
      because this reads too slowly or the connection was lost, standard error says so. After a restart of the daemon \
      it goes on.

      The daemon publishes hostcall.function.registered, hostcall.function.unregistered, hostcall.peer.connected and \
      hostcall.peer.disconnected.

      Example:
        hostcall watch 'door.*'
        hostcall watch hostcall.peer.connected --json --count 1
      """)

  @Argument(help: "A name such as door.opened, a pattern such as door.*, or * for all.")
  var pattern: String

  @Flag(help: "Write each event as a line of JSON, for scripts.")
  var json = false

  @Option(help: ArgumentHelp("Leave after so many events.", valueName: "number"))
  var count: Int?

  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard NameRules.isName(pattern) || NameRules.isPattern(pattern) else {
      throw ValidationError(
        "“\(Diagnostics.oneLine(pattern))” is no name or pattern: letters, digits, _ and - in parts joined by dots, "
          + "and * as the last part of a pattern.")
    }
    if let count, count < 1 { throw ValidationError("--count must be 1 or more.") }
  }

  func run() async throws {
    let client = try await connection.connect(reconnect: .whenRegistered)
    let events = try await client.events(pattern)
    let reporting = Task { [pattern] in await Self.report(client.connectionEvents, pattern) }
    Diagnostics.note("watching \(pattern) at \(client.socketPath)")
    var left = count
    for try await event in events {
      if let lost = EventText.lost(event) { Diagnostics.note(lost) }
      try Output.writeLine(json ? try EventText.json(event) : EventText.line(event))
      left = left.map { $0 - 1 }
      if left == 0 { break }
    }
    reporting.cancel()
    await client.close()
  }

  /// Says on standard error what becomes of the connection.
  private static func report(_ events: AsyncStream<HostcallConnectionEvent>, _ pattern: String) async {
    var isConnected = false
    for await event in events {
      switch event {
      case .connected where isConnected: Diagnostics.note("connected again; watching \(pattern)")
      case .connected: isConnected = true
      case .disconnected(let error): Diagnostics.note("\(error.description); connecting again")
      case .reconnectFailed, .registrationFailed: break
      case .subscriptionFailed(let error): Diagnostics.note("\(error.description); trying again")
      }
    }
  }
}
