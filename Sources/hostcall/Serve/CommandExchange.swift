import Glibc
import HostcallLoop

/// What a command has left when it has ended.
struct CommandOutcome {
  /// How the process ended.
  let ending: CommandEnding
  /// What it wrote to standard output; nil where that was too much.
  let result: [UInt8]?
  /// What it wrote to standard error.
  let errors: OutputTail
}

/// Feeds one command, reads what it writes, and sees to its end: SIGTERM when its call is over, SIGKILL when it does not
/// obey.
///
/// A thread for each command is little beside a process for each, and a reader of standard error that does not read
/// holds up one call.
struct CommandExchange: ~Copyable {
  /// Bytes of standard error that wait to be passed on, past which the command has to wait too.
  static let mostUnshownBytes = 65_536
  /// Bytes written at once to this program's standard error: what a pipe that has room takes without blocking.
  static let shownBytesAtOnce = 4_096
  /// How long a command that has ended waits for its last errors to be passed on.
  static let longestShowing: Duration = .seconds(1)

  /// Where the end of a command has got to.
  private enum Stage {
    /// Nothing has asked it to end. Can become `terminating`.
    case running
    /// It has had SIGTERM. Can become `killed`.
    case terminating(killAt: ContinuousClock.Instant)
    /// It has had SIGKILL; its end is near.
    case killed
  }

  private var process: CommandProcess
  private let processes: ServedProcesses
  private let watch: CommandWatch
  private let payload: [UInt8]
  private let largestResultBytes: Int
  private let grace: Duration

  private var stage = Stage.running
  private var writtenBytes = 0
  private var result: [UInt8]? = []
  private var errors = OutputTail()
  private var unshown: [UInt8] = []
  private var piece = [UInt8](repeating: 0, count: 65_536)

  /// - Parameters:
  ///   - payload: what the command reads from its standard input.
  ///   - largestResultBytes: past this its output is given up, and the command is ended.
  ///   - grace: between SIGTERM and SIGKILL.
  init(
    _ process: consuming CommandProcess, _ processes: ServedProcesses, _ watch: CommandWatch, payload: [UInt8],
    largestResultBytes: Int, grace: Duration
  ) {
    self.process = process
    self.processes = processes
    self.watch = watch
    self.payload = payload
    self.largestResultBytes = largestResultBytes
    self.grace = grace
    if payload.isEmpty { self.process.input = nil }
  }

  /// Returns when the command has ended. It blocks its thread.
  consuming func run() -> CommandOutcome {
    while true {
      if let ending = watch.ending {
        drain()
        showTheRest()
        return CommandOutcome(ending: ending, result: result, errors: errors)
      }
      if watch.isCancelled { terminate() }
      wait()
    }
  }

  // MARK: Its end

  private mutating func terminate() {
    guard case .running = stage else { return }
    processes.signal(SIGTERM, toGroupOf: process.processID)
    stage = .terminating(killAt: .now + grace)
  }

  /// Kills what has not ended within the grace; gives the time until then, nil where there is no such time.
  private mutating func killWhenDue() -> Duration? {
    guard case .terminating(let killAt) = stage else { return nil }
    let left = killAt - .now
    guard left <= .zero else { return left }
    processes.signal(SIGKILL, toGroupOf: process.processID)
    stage = .killed
    return nil
  }

  // MARK: Its streams

  /// Waits until something can be done, and does it.
  private mutating func wait() {
    let timeout = killWhenDue()
    // A descriptor of -1 is passed over.
    var interests = [
      pollfd(fd: watch.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: process.input.number, events: Int16(POLLOUT), revents: 0),
      pollfd(fd: process.output.number, events: Int16(POLLIN), revents: 0),
      pollfd(fd: readableErrors, events: Int16(POLLIN), revents: 0),
      pollfd(fd: unshown.isEmpty ? -1 : STDERR_FILENO, events: Int16(POLLOUT), revents: 0),
    ]
    guard poll(&interests, nfds_t(interests.count), Self.pollTimeout(timeout)) > 0 else { return }
    if interests[0].revents != 0 { watch.acknowledge() }
    if interests[1].revents != 0 { feed() }
    if interests[2].revents != 0 { readOutput() }
    if interests[3].revents != 0 { readErrors() }
    if interests[4].revents != 0 { show() }
  }

  /// Standard error, unless what it said before has to be passed on first.
  private var readableErrors: Int32 {
    unshown.count < Self.mostUnshownBytes ? process.errors.number : -1
  }

  /// Whole milliseconds for `poll`, rounded up; at most an hour at once, without end where there is no time.
  private static func pollTimeout(_ duration: Duration?) -> Int32 {
    guard let duration else { return -1 }
    return Int32((min(max(duration, .zero), .seconds(3_600)) / .milliseconds(1)).rounded(.up))
  }

  /// Writes what the command can take. It need not read what it is given.
  private mutating func feed() {
    let descriptor = process.input.number
    let count = payload.withUnsafeBytes { bytes in
      write(descriptor, bytes.baseAddress! + writtenBytes, bytes.count - writtenBytes)
    }
    if count > 0 { writtenBytes += count }
    if writtenBytes == payload.count || (count < 0 && !Self.mayTryAgain) { process.input = nil }
  }

  /// Reads a piece of standard output; false where there is none to be had.
  @discardableResult
  private mutating func readOutput() -> Bool {
    guard let count = read(process.output.number) else { return false }
    if count == 0 {
      process.output = nil
    } else if result!.count + count <= largestResultBytes {
      result!.append(contentsOf: piece[..<count])
    } else {
      result = nil
      process.output = nil
      terminate()
    }
    return count > 0
  }

  /// Reads a piece of standard error; false where there is none to be had.
  @discardableResult
  private mutating func readErrors() -> Bool {
    guard let count = read(process.errors.number) else { return false }
    if count == 0 { process.errors = nil }
    errors.append(piece[..<count])
    unshown.append(contentsOf: piece[..<count])
    return count > 0
  }

  /// The bytes that have come into `piece`; 0 at the end, nil where there are none yet or the stream has been closed.
  private mutating func read(_ descriptor: Int32) -> Int? {
    guard descriptor >= 0 else { return nil }
    let count = Glibc.read(descriptor, &piece, piece.count)
    if count >= 0 { return count }
    return Self.mayTryAgain ? nil : 0
  }

  private static var mayTryAgain: Bool { errno == EAGAIN || errno == EINTR }

  /// Passes on some of what the command has said on standard error. If nobody takes it, it is lost.
  private mutating func show() {
    let count = write(STDERR_FILENO, unshown, min(unshown.count, Self.shownBytesAtOnce))
    if count >= 0 {
      unshown.removeFirst(count)
    } else if !Self.mayTryAgain {
      unshown = []
    }
  }

  // MARK: The rest

  /// Reads what was written before the end and is still in the pipes. A process that has left the group may go on
  /// writing: nobody waits for that.
  private mutating func drain() {
    while readOutput() {}
    while unshown.count < 16 * Self.mostUnshownBytes, readErrors() {}
  }

  private mutating func showTheRest() {
    let end = ContinuousClock.now + Self.longestShowing
    while !unshown.isEmpty, ContinuousClock.now < end {
      var interest = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
      if poll(&interest, 1, Self.pollTimeout(end - .now)) > 0 { show() }
    }
  }
}
