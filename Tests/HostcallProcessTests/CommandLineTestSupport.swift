import Foundation
import HostcallTestSupport
import Testing

extension DaemonProcess {
  /// Runs `hostcall` against the daemon, to its end.
  func hostcall(_ arguments: [String], input: [UInt8] = []) throws -> Outcome {
    try run("hostcall", arguments, input: input)
  }

  /// Starts `hostcall serve NAME … -- sh -c SCRIPT` and returns when it has registered.
  ///
  /// The script finds the path of a file of its own in `$MARKS`.
  func serve(_ name: String, _ options: [String] = [], script: String) throws -> ServedScript {
    try ServedScript(self, ["serve", name] + options + ["--", "sh", "-c", script])
  }

  /// Starts `hostcall` and does not wait for its end; it writes to files.
  func start(_ arguments: [String]) throws -> StartedCommand {
    try StartedCommand(self, arguments)
  }
}

/// A `hostcall` that runs beside the test.
final class StartedCommand {
  private let folder = TemporaryFolder()
  let child: ChildProcess

  init(_ daemon: DaemonProcess, _ arguments: [String], environment: [String: String] = [:]) throws {
    child = try ChildProcess(
      "hostcall", arguments, environment: ["HOSTCALL_SOCKET": daemon.socketPath].merging(environment) { $1 },
      output: folder.file("output"), errors: folder.file("errors"))
  }

  /// A shell script instead, in which `$HOSTCALL` is the command.
  init(_ daemon: DaemonProcess, shell script: String) throws {
    child = try ChildProcess(
      "/bin/sh", ["-c", script],
      environment: [
        "HOSTCALL_SOCKET": daemon.socketPath, "HOSTCALL": "\(ChildProcess.productsFolder)/hostcall",
      ], output: folder.file("output"), errors: folder.file("errors"))
  }

  /// What it has written to standard output so far.
  var output: String {
    String(decoding: FileManager.default.contents(atPath: folder.file("output")) ?? Data(), as: UTF8.self)
  }

  /// What it has written to standard error so far.
  var errors: String { child.standardError() }

  func signal(_ number: Int32) {
    kill(child.processID, number)
  }
}

/// A `hostcall serve` whose script leaves marks in a file.
final class ServedScript {
  private let folder = TemporaryFolder()
  let command: StartedCommand

  init(_ daemon: DaemonProcess, _ arguments: [String]) throws {
    command = try StartedCommand(daemon, arguments, environment: ["MARKS": folder.file("marks")])
    try eventually("serve has registered") { command.errors.contains("hostcall: serving") }
  }

  /// Ends it and its scripts: from the second signal on it does not wait for them.
  deinit {
    let deadline = ContinuousClock.now + .seconds(30)
    while command.child.isRunning, ContinuousClock.now < deadline {
      command.signal(SIGTERM)
      sched_yield()
    }
  }

  /// The path of `$MARKS`.
  var marksFile: String { folder.file("marks") }

  /// The lines that scripts have written to `$MARKS`.
  var marks: [String] {
    let text = String(decoding: FileManager.default.contents(atPath: marksFile) ?? Data(), as: UTF8.self)
    return text.split(separator: "\n").map(String.init)
  }

  /// Waits until there are so many marks, and gives them.
  @discardableResult
  func marks(_ count: Int) throws -> [String] {
    try eventually("the script has left \(count) marks") { marks.count >= count }
    return marks
  }

  /// The numbers that scripts have left as marks.
  func processIDs(_ count: Int) throws -> [pid_t] {
    try marks(count).compactMap { pid_t($0) }
  }
}

/// Asks again, without waiting in between, until it is so; fails after 30 seconds.
func eventually(_ what: String, _ condition: () throws -> Bool) throws {
  let deadline = ContinuousClock.now + .seconds(30)
  while try !condition() {
    try #require(ContinuousClock.now < deadline, "\(what)")
    sched_yield()
  }
}

/// Whether no process has this number any more, or only one that has ended.
func hasEnded(_ processID: pid_t) -> Bool {
  if kill(processID, 0) == -1 { return true }
  let status = (try? String(contentsOfFile: "/proc/\(processID)/stat", encoding: .utf8)) ?? ""
  // The letter behind the name in parentheses.
  return status.isEmpty || status.split(separator: ")").last?.hasPrefix(" Z") == true
}
