import Glibc
import HostcallLoop

/// A process that runs the command for one call, with this side's ends of its standard streams, which never block.
///
/// It leads a session and a process group of its own: the terminal's Ctrl-C is for `serve` alone to handle, and a
/// signal to the group reaches all that the command has started.
struct CommandProcess: ~Copyable {
  /// Of the process, and of its group.
  let processID: pid_t
  var input: Descriptor?
  var output: Descriptor?
  var errors: Descriptor?

  /// The first descriptor that a command gets beside its standard streams.
  static let firstPassed: Int32 = 3

  /// Starts the command; it gets these descriptors as 3, 4 and so on, and they stay the caller's.
  ///
  /// Nothing else in this process may be starting a command meanwhile: between the making of a pipe and the mark that
  /// keeps it from being inherited, another command would inherit it, and hold it open.
  /// Errors: the program cannot be run, or a limit on descriptors, processes or memory is met.
  init(_ program: ServedProgram, environment: [String], passed: [Int32]) throws(LoopError) {
    let input = try CommandPipe()
    let output = try CommandPipe()
    let errors = try CommandPipe()
    // Out of the way of the numbers that they are to have, and of each other.
    let copies = try PassedCopies(of: passed, above: Self.firstPassed + Int32(passed.count))
    processID = try Self.start(
      program, environment,
      streams: [input.readEnd.number, output.writeEnd.number, errors.writeEnd.number] + copies.numbers)
    input.writeEnd.neverBlock()
    output.readEnd.neverBlock()
    errors.readEnd.neverBlock()
    self.input = consume input.writeEnd
    self.output = consume output.readEnd
    self.errors = consume errors.readEnd
  }

  /// `POSIX_SPAWN_SETSID`, which glibc shows only to programs that ask for its extensions.
  private static let newSession: Int32 = 0x80

  private static func start(
    _ program: ServedProgram, _ environment: [String], streams: [Int32]
  ) throws(LoopError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (number, stream) in streams.enumerated() {
      posix_spawn_file_actions_adddup2(&actions, stream, Int32(number))
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(newSession | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
    // `serve` ignores SIGPIPE, which a command would inherit.
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigaddset(&signals, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    var processID: pid_t = 0
    let code = CStrings.with(program.words) { words in
      CStrings.with(environment) { environment in
        posix_spawn(&processID, program.path, &actions, &attributes, words, environment)
      }
    }
    guard code == 0 else {
      throw LoopError(
        attempted: "run \(program.words[0])", code: code, reason: Diagnostics.reason(code), advice: advice(code))
    }
    return processID
  }

  private static func advice(_ code: Int32) -> String? {
    switch code {
    case ENOEXEC: "a script begins with a line such as #!/bin/sh"
    case EAGAIN: "is the limit on processes (ulimit -u) met?"
    case E2BIG: "metadata is passed in the environment, which has a limit"
    default: nil
    }
  }
}
