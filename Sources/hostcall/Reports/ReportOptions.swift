import ArgumentParser
import HostcallClient
import HostcallClientJSON
import HostcallWire

/// What all commands share that show a report of the daemon.
struct ReportOptions: ParsableArguments {
  @Flag(help: "Write the daemon's answer as JSON, for scripts.")
  var json = false

  @OptionGroup var connection: ConnectionOptions

  /// Asks a built-in function and writes its answer: as it came and a line feed with `--json`, else as text for people.
  func show<Report: Decodable>(
    _ function: String, as report: Report.Type, text: (Report, HostcallClient) -> String
  ) async throws {
    let client = try await connection.connect()
    let response = try await client.call(function)
    if json {
      try Output.write(response.payload + [UInt8(ascii: "\n")])
    } else {
      try Output.write(Array(text(try decode(response, function), client).utf8))
    }
    await client.close()
  }

  private func decode<Report: Decodable>(
    _ response: HostcallResponse, _ function: String
  ) throws(CommandFailure) -> Report {
    do {
      return try response.decode()
    } catch {
      throw CommandFailure(
        "\(function): the daemon's answer is not what hostcall \(HostcallVersion.current) understands "
          + "(is the daemon another version? --json shows the answer as it came)", .refused)
    }
  }
}
