import ArgumentParser
import HostcallClient
import HostcallWire

/// `hostcall publish`: one event.
struct PublishCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "publish",
    abstract: "Publish an event to everybody who watches its name.",
    discussion: """
      How many subscribers there were is said on standard error, or with --json on standard output. Nobody is no \
      failure.

      Example:
        hostcall publish door.opened front
        hostcall publish config.changed @new.json --encoding json
      """)

  @Argument(help: "The event's name, such as door.opened.")
  var name: String

  @Argument(
    help: "What to publish: a text, - for standard input, or @FILE for what a file holds (default: nothing).",
    completion: .file())
  var payload: String?

  @OptionGroup var sent: SentOptions

  @Flag(help: "Write the number of subscribers as JSON, for scripts.")
  var json = false

  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard NameRules.isName(name) else {
      throw ValidationError(
        "“\(Diagnostics.oneLine(name))” is no name of an event: letters, digits, _ and - in parts joined by dots.")
    }
  }

  func run() async throws {
    let client = try await connection.connect()
    let payload = try await sent.read(payload, for: name, client)
    let count = try await client.publish(
      name, payload, encoding: sent.encoding, metadata: try sent.metadata())
    if json {
      try Output.writeLine("{\"subscribers\":\(count)}")
    } else {
      Diagnostics.write(count == 1 ? "1 subscriber" : "\(count) subscribers")
    }
    await client.close()
  }
}
