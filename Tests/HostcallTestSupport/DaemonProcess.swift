import Glibc

/// A `hostcalld` of a test's own, on a socket in a folder of its own.
package final class DaemonProcess {
  /// How a program ended, and what it wrote.
  package struct Outcome {
    package let status: Int32
    package let output: [UInt8]
    package let errors: String

    package var text: String { String(decoding: output, as: UTF8.self) }
  }

  private let temporary: TemporaryFolder
  private let child: ChildProcess

  /// Starts it and returns when it answers.
  ///
  /// - Parameters:
  ///   - folder: where its socket is, such as that of one before it.
  ///   - faults: which of its system calls fail.
  ///   - environment: variables that it has besides those of the tests.
  package init(
    in folder: TemporaryFolder = TemporaryFolder(), arguments: [String] = [], configuration: String? = nil,
    faults: FaultPlan? = nil, environment: [String: String] = [:]
  ) throws {
    temporary = folder
    var arguments = ["--socket", temporary.file("s")] + arguments
    if let configuration {
      Files.write(configuration.utf8, to: temporary.file("hostcalld.toml"))
      arguments += ["--config", temporary.file("hostcalld.toml")]
    }
    child = try ChildProcess(
      "hostcalld", arguments,
      environment: environment.merging(faults?.environment(report: temporary.file("faults")) ?? [:]) { $1 },
      errors: temporary.file("log"))
    _ = try RawPeer.waiting(for: socketPath, while: { [child] in child.isRunning })
  }

  /// Ends it. What a sanitizer has found in it ends the test run: a daemon with a fault proves nothing.
  deinit {
    child.stop()
    let log = standardError()
    precondition(
      !log.contains("WARNING: ThreadSanitizer") && !log.contains("ERROR: AddressSanitizer"),
      "a sanitizer reports a fault in hostcalld:\n\(log)")
  }

  package var socketPath: String { temporary.file("s") }
  package var folder: String { temporary.path }
  package var processID: Int32 { child.processID }
  package var isRunning: Bool { child.isRunning }

  /// How often each of the faults that it was to meet has come. Once it has ended.
  package func faultCounts() -> [String: Int] { FaultPlan.counts(inReport: temporary.file("faults")) }

  /// The file of the configuration that it was started with.
  package var configurationFile: String { temporary.file("hostcalld.toml") }

  package func standardError() -> String { child.standardError() }

  /// Sends a signal, if it still runs, and gives the exit status.
  @discardableResult
  package func stop(signal: Int32 = SIGTERM) -> Int32 { child.stop(signal: signal) }

  /// Waits for an end that it was told of before, and gives the exit status.
  package func wait() -> Int32 { child.wait() }

  /// Runs a program of this package against the daemon, to its end.
  package func run(
    _ program: String, _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:]
  ) throws -> Outcome {
    let run = TemporaryFolder()
    Files.write(input, to: run.file("in"))
    let process = try ChildProcess(
      program, arguments, environment: ["HOSTCALL_SOCKET": socketPath].merging(environment) { $1 },
      input: run.file("in"), output: run.file("out"), errors: run.file("errors"))
    let status = process.wait()
    return Outcome(status: status, output: Files.read(run.file("out")), errors: process.standardError())
  }
}

extension RawPeer {
  /// Connects as soon as somebody listens there.
  package static func waiting(for path: String, while isHopeful: () -> Bool = { true }) throws -> RawPeer {
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
      do {
        return try RawPeer(path)
      } catch {
        guard isHopeful(), ContinuousClock.now < deadline else { throw error }
        sched_yield()
      }
    }
  }
}
