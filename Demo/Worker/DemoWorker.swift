import Foundation
import HostcallClient

/// A worker: connects to the daemon, registers host functions, and answers calls until it is told to leave.
@main
struct DemoWorker {
  static func main() async {
    let arguments = WorkerArguments.parse()
    do throws(HostcallError) {
      try await run(arguments)
    } catch {
      // Told to leave while it was still registering: that is no error.
      if error.code == .closed { return }
      FileHandle.standardError.write(Data("hostcall-demo-worker: \(error)\n".utf8))
      exit(1)
    }
  }

  private static func run(_ arguments: WorkerArguments) async throws(HostcallError) {
    let client = try await HostcallClient.connect(
      .init(socketPath: arguments.socketPath, clientName: "hostcall-demo-worker/\(getpid())"))

    // Leaves in good order on SIGTERM and SIGINT, and when standard input ends if it was asked to watch that.
    let signals = Leaving.onSignals { await client.shutdown() }
    if arguments.leavesWithStandardInput { Leaving.atEndOfStandardInput { await client.shutdown() } }

    let functions = DemoFunctions(client: client, prefix: arguments.prefix)
    try await functions.register()

    // Each completion that the daemon refuses is told to whoever listens under this name.
    let teller = Task {
      for await rejection in client.rejections {
        try? await client.send("demo.rejected", "\(rejection.correlationID) \(rejection.status)")
      }
    }

    // The client connects again by itself after a lost connection; it is closed only when this program wants that.
    let reason = await client.waitUntilClosed()
    for source in signals { source.cancel() }
    await teller.value
    if let reason { throw reason }
  }
}
