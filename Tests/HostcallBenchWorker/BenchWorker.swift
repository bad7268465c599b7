import Foundation
import HostcallClient

/// The worker that `Scripts/bench` measures the client library by: an echo of `bench.echo` with 64 places.
///
/// Usage: `hostcall-bench-worker SOCKET`. Writes one line when it serves; ends when its connection does.
@main
struct BenchWorker {
  static func main() async {
    guard CommandLine.arguments.count == 2 else {
      fail("usage: hostcall-bench-worker SOCKET", status: 64)
    }
    do throws(HostcallError) {
      let client = try await HostcallClient.connect(
        .init(socketPath: CommandLine.arguments[1], clientName: "hostcall-bench-worker/1"))
      _ = try await client.register("bench.echo", concurrency: 64) { $0.payload }
      print("serving")
      fflush(nil)
      if let reason = await client.waitUntilClosed() { throw reason }
    } catch {
      fail("hostcall-bench-worker: \(error)", status: 1)
    }
  }

  private static func fail(_ text: String, status: Int32) -> Never {
    FileHandle.standardError.write(Data((text + "\n").utf8))
    exit(status)
  }
}
