import ArgumentParser
import HostcallClient

/// `hostcall ping`: whether the daemon answers, and how fast.
struct PingCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ping",
    abstract: "Ask the daemon for a sign of life.",
    discussion: """
      Example:
        hostcall ping --count 5
      """)

  @Option(help: ArgumentHelp("How often to ask, one after the other.", valueName: "number"))
  var count = 1

  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard (1...1_000_000).contains(count) else { throw ValidationError("--count must be from 1 to 1000000.") }
  }

  func run() async throws {
    let client = try await connection.connect()
    let server = await client.serverInformation?.server ?? "hostcalld"
    var times: [Duration] = []
    for _ in 1...count {
      let time = try await client.ping()
      times.append(time)
      try Output.writeLine(
        "\(Diagnostics.oneLine(server)) at \(client.socketPath) answered after \(HumanText.duration(time))")
    }
    if count > 1 { try Output.writeLine(Self.summary(times)) }
    await client.close()
  }

  /// One line about several answers.
  static func summary(_ times: [Duration]) -> String {
    let sum = times.reduce(.zero, +)
    let parts = [
      ("fastest", times.min() ?? .zero), ("mean", sum / max(1, times.count)), ("slowest", times.max() ?? .zero),
    ]
    return "\(times.count) answers: " + parts.map { "\($0) \(HumanText.duration($1))" }.joined(separator: ", ")
  }
}
