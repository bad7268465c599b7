import Foundation
import HostcallClient

/// Drives a running daemon and its demo worker through the scenarios, and reports each of them.
@main
struct DemoClient {
  static func main() async {
    let arguments = ClientArguments.parse()
    do {
      let client = try await HostcallClient.connect(
        .init(socketPath: arguments.socketPath, clientName: "hostcall-demo-client"))
      let worker = try await client.call("ready", timeout: .seconds(10), options: .wait)
      Report.line("connected to \(client.socketPath), worker \(worker.text)")
      let stage = Stage(
        client: client, workerProgram: arguments.workerProgram, folder: arguments.folder,
        languages: arguments.languages)
      let failed = await run(arguments.scenarios, on: stage)
      await client.close()
      exit(failed == 0 ? 0 : 1)
    } catch {
      FileHandle.standardError.write(Data("hostcall-demo-client: \(error)\n".utf8))
      exit(1)
    }
  }

  /// Runs them one after another; gives how many failed.
  private static func run(_ scenarios: [Scenario], on stage: Stage) async -> Int {
    var failed: [String] = []
    for (index, scenario) in scenarios.enumerated() {
      Report.line("\n\(index + 1)/\(scenarios.count) \(scenario.name): \(scenario.summary)")
      let began = ContinuousClock.now
      do {
        try await scenario.runWithinLimit(on: stage)
        Report.line("    passed in \(Report.time(.now - began))")
      } catch {
        Report.line("    FAILED after \(Report.time(.now - began)): \(error)")
        failed.append(scenario.name)
      }
    }
    let names = failed.isEmpty ? "" : " (\(failed.joined(separator: ", ")))"
    Report.line("\n\(scenarios.count - failed.count) scenarios passed, \(failed.count) failed\(names)")
    return failed.count
  }
}

/// What the scenarios work with.
struct Stage: Sendable {
  let client: HostcallClient
  /// Path of `hostcall-demo-worker`.
  let workerProgram: String
  /// The folder whose files are hashed.
  let folder: String
  /// Whose workers call each other, in this order.
  let languages: [String]
}
