import Glibc
import HostcallLoop

/// A program of this package, run as a process of its own. It is ended, by its id, when the object goes.
///
/// Written on `posix_spawn`: Foundation's `Process` now and then misses the end of one of many children.
/// Thread: one at a time.
package final class ChildProcess {
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  package let processID: Int32
  private let errors: String
  private var ending: Int32?

  /// The folder with the programs that this test run was built with.
  package static let productsFolder: String = {
    // The test bundle is run by itself, or by a helper that names it in its arguments.
    let bundle = CommandLine.arguments.first { $0.contains(".xctest") } ?? ownExecutable()
    let parts = bundle.split(separator: "/", omittingEmptySubsequences: false)
    let place = parts.firstIndex { $0.hasSuffix(".xctest") } ?? parts.count - 1
    return parts[..<place].joined(separator: "/")
  }()

  private static func ownExecutable() -> String {
    var path = [CChar](repeating: 0, count: 4_096)
    let count = readlink("/proc/self/exe", &path, path.count - 1)
    precondition(count > 0, "/proc/self/exe cannot be read")
    return path.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  /// Starts a program of this package, or one by its whole path.
  ///
  /// - Parameters:
  ///   - environment: added to this process's, from which everything that names a socket is taken away.
  ///   - input, output, errors: the files behind the standard streams.
  ///   - descriptors: what it has as 3 and up.
  package init(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], input: String = "/dev/null",
    output: String = "/dev/null", errors: String = "/dev/null", descriptors: [Int32] = []
  ) throws {
    self.errors = errors
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    // Out of the way of each other first.
    let copies = descriptors.map { fcntl($0, F_DUPFD_CLOEXEC, 100) }
    defer { for copy in copies { close(copy) } }
    for (index, copy) in copies.enumerated() {
      posix_spawn_file_actions_adddup2(&actions, copy, STDERR_FILENO + 1 + Int32(index))
    }
    // Whatever other tests have open just now is not for it.
    LoopProcess.closeAll(from: STDERR_FILENO + 1 + Int32(copies.count), &actions)
    let path = program.hasPrefix("/") ? program : "\(Self.productsFolder)/\(program)"
    let command = Valgrind.command(for: program, arguments) + [path]
    var process: pid_t = 0
    let code = CStrings.with(command + arguments) { arguments in
      CStrings.with(Self.environment(environment)) { environment in
        posix_spawnp(&process, command[0], &actions, nil, arguments, environment)
      }
    }
    guard code == 0 else { throw Failure(description: "cannot start \(path): \(String(cString: strerror(code)))") }
    processID = process
  }

  deinit {
    if isRunning { stop(signal: SIGKILL) }
  }

  package var isRunning: Bool {
    if ending == nil { reap(WNOHANG) }
    return ending == nil
  }

  /// What it has written to standard error so far.
  package func standardError() -> String {
    String(decoding: Files.read(errors), as: UTF8.self)
  }

  /// Waits for the end, of its own or after a signal, and gives the exit status; 128 and the signal where one ended it.
  @discardableResult
  package func wait() -> Int32 {
    if ending == nil { reap(0) }
    return ending ?? -1
  }

  /// Sends a signal and waits for the end.
  @discardableResult
  package func stop(signal: Int32 = SIGTERM) -> Int32 {
    if isRunning { kill(processID, signal) }
    return wait()
  }

  private func reap(_ options: Int32) {
    var status: Int32 = 0
    var reaped: pid_t = -1
    repeat { reaped = waitpid(processID, &status, options) } while reaped < 0 && errno == EINTR
    guard reaped == processID else { return }
    ending = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    if ending == Valgrind.foundStatus { fatalError("valgrind has found something:\n\(standardError())") }
  }

  private static func environment(_ added: [String: String]) -> [String] {
    var entries: [String] = []
    var next = environ
    while let entry = next.pointee {
      entries.append(String(cString: entry))
      next += 1
    }
    let dropped = ["HOSTCALL_SOCKET", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"] + added.keys
    entries.removeAll { entry in dropped.contains { entry.hasPrefix("\($0)=") } }
    return entries + added.map { "\($0.key)=\($0.value)" }
  }
}

/// Whole files, read and written.
package enum Files {
  /// The bytes of a file; none where there is no such file.
  package static func read(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = fread(&piece, 1, piece.count, file)
      if count == 0 { return bytes }
      bytes.append(contentsOf: piece[..<count])
    }
  }

  /// Makes a file, or replaces it.
  package static func write(_ bytes: some Sequence<UInt8>, to path: String) {
    guard let file = fopen(path, "w") else { preconditionFailure("cannot write \(path)") }
    let bytes = Array(bytes)
    precondition(fwrite(bytes, 1, bytes.count, file) == bytes.count, "cannot write \(path)")
    fclose(file)
  }

  /// How many entries a folder has, such as `/proc/self/fd`.
  package static func count(in folder: String) -> Int {
    guard let opened = opendir(folder) else { return 0 }
    defer { closedir(opened) }
    var count = -2
    while readdir(opened) != nil { count += 1 }
    return count
  }
}
