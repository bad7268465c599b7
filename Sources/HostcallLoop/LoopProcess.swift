import CLibuv
import Glibc

/// A process whose end the loop is told of: one that this process has started, or one that an earlier process has, which
/// this one has taken the place of. A descriptor stands for the process, so that no other can be meant by its number.
///
/// Closing it leaves the process alone.
///
/// Thread: the loop thread.
package final class LoopProcess: LoopHandle {
  package let processID: Int32
  /// When it was started, in ticks since the system was: with the number it tells a process from all others.
  package let startTicks: UInt64
  private let descriptor: Int32
  private let isChild: Bool
  /// Called once, with the exit status, 128 and the number of the signal that ended it, or nil where it is no child.
  private var onEnd: ((Int32?) -> Void)?

  /// Starts a program.
  ///
  /// It has this process's environment and standard error, and nothing else of it: nothing to read, what it prints goes
  /// to standard error, all signals do what they do by default, and it is a process group of its own.
  ///
  /// - Parameters:
  ///   - command: the program by its whole path, then its arguments.
  ///   - environment: which variables are other ones for it; nil for none.
  ///
  /// Errors: there is no such program, or a limit is met.
  package convenience init(
    _ loop: EventLoop, starting command: [String], environment: [String: String?],
    onEnd: @escaping (Int32?) -> Void
  ) throws(LoopError) {
    let attempted = "start \(command.first ?? "nothing")"
    var processID: pid_t = 0
    let code = Self.spawn(&processID, command, environment)
    guard code == 0 else { throw LoopError(attempted: attempted, code: code) }
    do throws(LoopError) {
      try self.init(loop, processID: processID, isChild: true, attempted: attempted, onEnd: onEnd)
    } catch {
      kill(processID, SIGKILL)
      waitpid(processID, nil, 0)
      throw error
    }
  }

  /// Takes a process over that another one has started.
  ///
  /// Errors: it has ended.
  package convenience init(
    _ loop: EventLoop, adopting processID: Int32, startTicks: UInt64, onEnd: @escaping (Int32?) -> Void
  ) throws(LoopError) {
    let attempted = "take over the process \(processID)"
    try self.init(loop, processID: processID, isChild: false, attempted: attempted, onEnd: onEnd)
    guard self.startTicks == startTicks else {
      close()
      throw LoopError(attempted: attempted, code: ESRCH)
    }
  }

  private init(
    _ loop: EventLoop, processID: Int32, isChild: Bool, attempted: String, onEnd: @escaping (Int32?) -> Void
  ) throws(LoopError) {
    let descriptor = pidfd_open(processID, 0)
    guard descriptor >= 0 else { throw LoopError(attempted: attempted, code: errno) }
    self.processID = processID
    self.descriptor = descriptor
    self.isChild = isChild
    self.onEnd = onEnd
    startTicks = Self.startTicks(of: processID)
    super.init(loop)
    let code = open(uv_poll_t.self) { uv_poll_init($0, $1, descriptor) }
    guard code == 0 else {
      Glibc.close(descriptor)
      throw LoopError(attempted: attempted, code: code)
    }
    let polling = uv_poll_start(
      uvPointer(uv_poll_t.self), Int32(UV_READABLE.rawValue),
      { handle, _, _ in LoopProcess.recover(handle).hasEnded() })
    precondition(polling == 0, "uv_poll_start failed with \(polling)")
  }

  /// Sends a signal to it and to all of its group, if it is still there.
  package func send(signal: Int32) {
    loop.preconditionIsCurrent("LoopProcess.send")
    // As long as the process is there, or its end was not taken note of, nobody else has its number.
    guard isOpen, pidfd_send_signal(descriptor, 0, nil, 0) == 0 else { return }
    kill(-processID, signal)
  }

  private func hasEnded() {
    var status: Int32 = 0
    var exit: Int32?
    // What it has started and left behind.
    if isChild { kill(-processID, SIGTERM) }
    if isChild, waitpid(processID, &status, WNOHANG) == processID {
      exit = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }
    let tell = onEnd
    close()
    tell?(exit)
  }

  override func didBeginClosing() {
    Glibc.close(descriptor)
    onEnd = nil
  }

  /// 0 where it is gone.
  private static func startTicks(of processID: Int32) -> UInt64 {
    guard let file = fopen("/proc/\(processID)/stat", "r") else { return 0 }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1_024)
    let count = fread(&bytes, 1, bytes.count, file)
    // What is behind the name, which may have anything in it; the state is first there.
    let fields =
      String(decoding: bytes[..<count], as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
    return fields.count > 19 ? UInt64(fields[19]) ?? 0 : 0
  }

  // MARK: Starting

  /// Has a program that is to be started find none of the descriptors from this number on.
  ///
  /// - Parameter actions: where a `posix_spawn_file_actions_t` is.
  package static func closeAll(from descriptor: Int32, _ actions: UnsafeMutableRawPointer) {
    posix_spawn_file_actions_addclosefrom_np(
      actions.assumingMemoryBound(to: posix_spawn_file_actions_t.self), descriptor)
  }

  private static func spawn(_ processID: inout pid_t, _ command: [String], _ changes: [String: String?]) -> Int32 {
    guard let program = command.first else { return EINVAL }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
    Self.closeAll(from: STDERR_FILENO + 1, &actions)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var all = sigset_t()
    sigfillset(&all)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
    return CStrings.with(command) { arguments in
      CStrings.with(environment(changes)) { environment in
        posix_spawn(&processID, program, &actions, &attributes, arguments, environment)
      }
    }
  }

  private static func environment(_ changes: [String: String?]) -> [String] {
    var entries: [String] = []
    var next = environ
    while let entry = next.pointee {
      let text = String(cString: entry)
      if changes[String(text.prefix { $0 != "=" })] == nil { entries.append(text) }
      next += 1
    }
    return entries + changes.compactMap { key, value in value.map { "\(key)=\($0)" } }
  }
}
