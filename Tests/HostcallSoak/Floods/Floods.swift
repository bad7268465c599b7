import Glibc
import HostcallTestSupport
import HostcallWire

/// Floods one daemon after the other way, and looks what that does to somebody else's calls and to its memory.
package final class Floods {
  package struct Options: Sendable {
    package var kinds = FloodKind.allCases
    package var rounds = 5
    /// How many calls each figure is taken of, at the least.
    package var calls = 5_000
    /// Whether the floods are small ones, for a test.
    package var isShort = false
    /// Says what goes on.
    package var progress: @Sendable (String) -> Void = { _ in }

    package init() {}
  }

  private let options: Options
  private let daemon: DaemonProcess
  private let folder = TemporaryFolder()

  package init(_ options: Options) throws {
    self.options = options
    Bystander.raiseDescriptorLimit()
    daemon = try DaemonProcess(arguments: ["--log-level", "error"], configuration: Self.configuration)
    // Whoever floods is another user.
    chmod(daemon.folder, 0o711)
  }

  /// One flooding user has limits that can be met, where it can be another: those of everybody are high.
  private static let configuration =
    """
    [server]
    socket-mode = "0666"

    [limits]
    hello-milliseconds = 2000

    """
    + (getuid() == 0
      ? """
      [[user-limits]]
      users = [\(Flooder.userID(.limits))]
      connections-per-user = 500
      calls-in-flight-per-user = 2000
      queued-calls-per-user = 500
      registrations-per-user = 1000
      bound-handles-per-user = 1000
      subscriptions-per-user = 1000
      """ : "")

  /// Whether a flood can be told from what everybody else does.
  private static func isPossible(_ kind: FloodKind) -> Bool { kind != .limits || getuid() == 0 }

  package func run() throws -> FloodReport {
    var report = FloodReport()
    let start = try DaemonCondition(of: daemon)
    report.residentKilobytes.start = start.residentKilobytes
    for kind in options.kinds where Self.isPossible(kind) {
      for round in 1...options.rounds {
        report.add(try self.round(kind))
        options.progress("\(kind.rawValue): round \(round) of \(options.rounds)")
      }
    }
    var end = try start.awaitReturn(of: daemon)
    report.difference = end.difference(from: start)
    // What was freed is given back a little later.
    let deadline = ContinuousClock.now + .seconds(10)
    repeat {
      end = try DaemonCondition(of: daemon)
      report.residentKilobytes.end = end.residentKilobytes
    } while !report.isMemoryBack && ContinuousClock.now < deadline
    let status = daemon.stop()
    guard status == 0 else { throw SoakFailure("hostcalld ended with \(status):\n\(daemon.standardError())") }
    return report
  }

  /// Quiet calls, and calls while the flood comes and stands.
  private func round(_ kind: FloodKind) throws -> FloodReport.Round {
    let before = try DaemonCondition(of: daemon)
    var bystander = try Bystander(daemon.socketPath)
    defer { bystander.close() }
    _ = try bystander.measure(count: options.calls / 5)
    let quiet = try bystander.measure(count: options.calls)
    let (output, errors) = (folder.file("output"), folder.file("errors"))
    Files.write([], to: output)
    let count = kind.usualCount(isShort: options.isShort)
    let flooder = try ChildProcess(
      "hostcall-soak", ["press", "--socket", daemon.socketPath, "--flood", kind.rawValue, "--count", "\(count)"],
      output: output, errors: errors)
    let deadline = ContinuousClock.now + .seconds(120)
    let coming = try bystander.measure(count: 0) {
      guard flooder.isRunning, ContinuousClock.now < deadline else {
        throw SoakFailure("the flood of \(kind.rawValue) does not stand: \(flooder.standardError())")
      }
      return !Files.read(output).isEmpty
    }
    let standing = try bystander.measure(count: options.calls)
    let condition = try DaemonCondition(of: daemon)
    guard flooder.isRunning else {
      throw SoakFailure("the flood of \(kind.rawValue) has ended: \(flooder.standardError())")
    }
    flooder.stop(signal: SIGKILL)
    bystander.close()
    let after = try before.awaitReturn(of: daemon)
    if let difference = after.difference(from: before) {
      throw SoakFailure("after \(kind.rawValue) hostcalld does not let go: \(difference)")
    }
    return FloodReport.Round(
      kind: kind, count: count, quiet: quiet, coming: coming, standing: standing,
      residentKilobytes: condition.residentKilobytes)
  }
}
