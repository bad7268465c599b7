import Glibc
import HostcallLoop

/// A service as a service manager sees it: its sockets, which outlive any daemon, and the daemons that are started on them
/// one after another.
///
/// Thread: one at a time.
package final class FakeService {
  /// The daemon of this package.
  package static let hostcalld = "\(ChildProcess.productsFolder)/hostcalld"

  package let folder = TemporaryFolder()
  package let manager: FakeServiceManager
  private let names: [String]
  private let sockets: [Int32]
  private let program: String
  /// What only the daemon itself has in its environment.
  private let own: [String: String]
  /// What its next daemon is started with.
  package var arguments: [String]

  /// - Parameters:
  ///   - names: of its sockets, which are also the names of their files; none for a daemon that listens by itself.
  ///   - program: another one than that of this package, by its whole path.
  ///   - faults: which of the daemons' system calls fail.
  package init(
    _ names: [String] = ["clients"], program: String = FakeService.hostcalld, arguments: [String] = [],
    configuration: String? = nil, faults: FaultPlan? = nil
  ) throws {
    let folder = folder
    self.names = names
    self.program = program
    sockets = try names.map { try UnixSocket.listen(path: folder.file($0), backlog: 1_024, mode: 0o600) }
    manager = FakeServiceManager(at: folder.file("notify"))
    own = faults?.environment(report: folder.file("faults")) ?? [:]
    var arguments = arguments
    if let configuration {
      Files.write(configuration.utf8, to: folder.file("hostcalld.toml"))
      arguments += ["--config", folder.file("hostcalld.toml")]
    }
    self.arguments = arguments
  }

  deinit {
    for descriptor in sockets { close(descriptor) }
  }

  /// Starts a daemon, and returns when it is ready or has ended; the environment names the process that it becomes.
  package func start() throws -> ChildProcess {
    manager.serve { false }
    let entries = zip(names, sockets).map { ($0, $1) } + manager.kept.map { ($0.name, $0.descriptor) }
    let daemon = try Self.start(
      program, arguments, descriptors: entries, in: folder, environment: manager.environment, own: own)
    manager.serve(until: "READY") { daemon.isRunning }
    return daemon
  }

  /// The same without a service.
  package static func start(
    _ program: String = FakeService.hostcalld, _ arguments: [String] = [],
    descriptors: [(name: String, descriptor: Int32)],
    in folder: TemporaryFolder, environment: [String: String] = [:], own: [String: String] = [:]
  ) throws -> ChildProcess {
    try ChildProcess(
      "/bin/sh",
      ["-c", "LISTEN_PID=$$ exec env \"$@\"", "sh"] + own.map { "\($0)=\($1)" }
        + Valgrind.command(for: program, arguments) + [program] + arguments,
      environment: [
        "LISTEN_FDS": "\(descriptors.count)", "LISTEN_FDNAMES": descriptors.map(\.name).joined(separator: ":"),
        "RUNTIME_DIRECTORY": folder.path,
      ].merging(environment) { $1 }, errors: folder.file("log"), descriptors: descriptors.map(\.descriptor))
  }

  /// What a daemon ends with that has handed over.
  package static let handedOver: Int32 = 75

  /// Has a daemon hand over, and starts the next one; gives it, and the exit status of the first.
  package func restart(_ daemon: ChildProcess) throws -> (next: ChildProcess, status: Int32) {
    kill(daemon.processID, SIGUSR2)
    manager.serve { daemon.isRunning }
    return (try start(), daemon.wait())
  }

  /// How often each of the faults has come that its daemon was to meet. Once it has ended.
  package func faultCounts() -> [String: Int] { FaultPlan.counts(inReport: folder.file("faults")) }

  /// What its daemons have written to standard error.
  package func log() -> String { String(decoding: Files.read(folder.file("log")), as: UTF8.self) }
}
