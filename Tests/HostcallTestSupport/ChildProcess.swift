package import Foundation

/// A program of this package, run as a process of its own. It is ended, by its id, when the object goes.
///
/// Thread: one at a time.
package final class ChildProcess {
  private let process = Process()
  private let errors: String

  /// The folder with the programs that this test run was built with.
  package static let productsFolder: String = {
    var path = [CChar](repeating: 0, count: 4_096)
    let count = readlink("/proc/self/exe", &path, path.count - 1)
    precondition(count > 0, "/proc/self/exe cannot be read")
    let executable = path.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    // The test bundle is run by itself, or by a helper that names it in its arguments.
    let bundle = CommandLine.arguments.first { $0.contains(".xctest") } ?? executable
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().path
  }()

  /// Starts a program of this package, or one by its whole path.
  ///
  /// - Parameters:
  ///   - environment: added to this process's, from which everything that names a socket is taken away.
  ///   - errors: the file that gets standard error; `/dev/null` by default.
  package init(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], input: FileHandle? = nil,
    output: FileHandle? = nil, errors: String = "/dev/null"
  ) throws {
    self.errors = errors
    process.executableURL = URL(
      fileURLWithPath: program.hasPrefix("/") ? program : "\(Self.productsFolder)/\(program)")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment
      .filter { !["HOSTCALL_SOCKET", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"].contains($0.key) }
      .merging(environment) { $1 }
    _ = FileManager.default.createFile(atPath: errors, contents: nil)
    process.standardInput = input ?? FileHandle.nullDevice
    process.standardOutput = output ?? FileHandle.nullDevice
    process.standardError = FileHandle(forWritingAtPath: errors)
    try process.run()
  }

  deinit {
    if process.isRunning {
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
  }

  package var processID: Int32 { process.processIdentifier }
  package var isRunning: Bool { process.isRunning }

  /// What it has written to standard error so far.
  package func standardError() -> String {
    String(decoding: FileManager.default.contents(atPath: errors) ?? Data(), as: UTF8.self)
  }

  /// Waits for the end, of its own or after a signal, and gives the exit status; 128 and the signal where one ended it.
  package func wait() -> Int32 {
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
  }

  /// Sends a signal and waits for the end.
  @discardableResult
  package func stop(signal: Int32 = SIGTERM) -> Int32 {
    if process.isRunning { kill(processID, signal) }
    return wait()
  }
}
