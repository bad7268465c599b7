import Foundation
import HostcallClient

/// A worker process of this program's own, for scenarios that lose one.
final class WorkerProcess: Sendable {
  private let process: Process
  /// The worker leaves when this end is closed, so it never outlives this program.
  private let input: Pipe
  private let ended: Latch

  var processID: Int32 { process.processIdentifier }

  private init(_ process: Process, input: Pipe, ended: Latch) {
    self.process = process
    self.input = input
    self.ended = ended
  }

  /// Starts one; when this returns, its functions can be called.
  static func start(on stage: Stage, prefix: String? = nil) async throws -> WorkerProcess {
    let (process, input, ended) = (Process(), Pipe(), Latch())
    process.executableURL = URL(fileURLWithPath: stage.workerProgram)
    process.arguments = ["--socket", stage.client.socketPath, "--until-end-of-input"]
    if let prefix { process.arguments? += ["--prefix", prefix] }
    process.standardInput = input
    process.terminationHandler = { _ in ended.open() }
    try process.run()
    let worker = WorkerProcess(process, input: input, ended: ended)
    do {
      // Its last registration is under its process number; WAIT waits for that.
      try await stage.client.call("worker.\(worker.processID)", timeout: .seconds(20), options: .wait)
    } catch {
      await worker.killAndWait()
      throw error
    }
    return worker
  }

  /// Ends it by SIGKILL, in the middle of whatever it does.
  func kill() {
    // Only a process that was started here and that has not been waited for yet has this number.
    if process.isRunning { Foundation.kill(processID, SIGKILL) }
  }

  func killAndWait() async {
    kill()
    await ended.wait()
  }

  /// Lets it leave in good order; gives its exit status.
  func leave() async throws -> Int32 {
    try input.fileHandleForWriting.close()
    await ended.wait()
    return process.terminationStatus
  }
}
