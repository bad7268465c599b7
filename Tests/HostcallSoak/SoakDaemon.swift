import Glibc
import HostcallTestSupport

/// The daemon of a soak: one process after another on the same socket.
final class SoakDaemon {
  private let service: FakeService
  private var process: ChildProcess

  init(configuration: String, faults: FaultPlan?) throws {
    service = try FakeService(
      ["s"], arguments: ["--log-level", "error"], configuration: configuration, faults: faults)
    process = try service.start()
  }

  var socketPath: String { service.folder.file("s") }
  var folder: String { service.folder.path }
  var processID: Int32 { process.processID }
  var isRunning: Bool { process.isRunning }

  /// Has the next process take everything over.
  func restart() throws {
    let (next, status) = try service.restart(process)
    process = next
    guard status == FakeService.handedOver else {
      throw SoakFailure("hostcalld ended with \(status) when it handed over:\n\(log())")
    }
  }

  /// Ends it without a word, and starts the next one.
  func killAndStart() throws {
    process.stop(signal: SIGKILL)
    process = try service.start()
  }

  func stop() -> Int32 { process.stop() }
  func log() -> String { service.log() }
  func faultCounts() -> [String: Int] { service.faultCounts() }
}
