import Glibc
import HostcallLoop

/// SIGINT, SIGTERM and SIGHUP, told to a thread of their own, so that what they lead to is ordinary code.
///
/// Until somebody handles them they end the process. (Blocking them and `sigwait` would not do: the main thread of an
/// asynchronous program ends up in `sigsuspend` with no signal blocked.)
enum Interruption {
  private struct State {
    var handler: (@Sendable (Int32) -> Void)?
    var first: Int32?
  }

  private static let state = HeapLock(State())

  /// The first signal that came while there was a handler.
  static var first: Int32? { state.withLock(\.first) }

  /// Whoever handles the signals from now on: called on their thread, once for each.
  static func handle(_ handler: @escaping @Sendable (Int32) -> Void) {
    state.withLock { $0.handler = handler }
  }

  /// Begins to wait for signals. Called once, before there is a second thread.
  static func begin() {
    // Writing to what nobody reads is an error where it happens, not a death.
    signal(SIGPIPE, SIG_IGN)
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return }
    for descriptor in ends { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    signalPipe = ends[1]
    let readEnd = ends[0]
    guard let thread = try? SystemThread(named: "signals", { wait(readEnd) }) else { return }
    thread.detach()
    take(SIGTERM)
    // Ignored from the start by nohup, and by a shell for what it runs in the background: that stays.
    for number in [SIGINT, SIGHUP] where !isIgnored(number) { take(number) }
  }

  /// Ends the process at once, as the signal would have.
  static func leave(_ number: Int32) -> Never {
    _exit(ExitStatus.signal(number).rawValue)
  }

  /// The body of the thread.
  private static func wait(_ descriptor: Int32) {
    while true {
      var byte: UInt8 = 0
      guard read(descriptor, &byte, 1) == 1 else { continue }
      let number = Int32(byte)
      let handler = state.withLock { state in
        if state.handler != nil, state.first == nil { state.first = number }
        return state.handler
      }
      if let handler { handler(number) } else { leave(number) }
    }
  }

  private static func take(_ number: Int32) {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { number in
      let saved = errno
      var byte = UInt8(truncatingIfNeeded: number)
      _ = write(signalPipe, &byte, 1)
      errno = saved
    }
    action.sa_flags = SA_RESTART
    sigaction(number, &action, nil)
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    sigaction(number, nil, &action)
    // SIG_IGN is the number 1 where a function's address would be.
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
  }
}

/// Where the signal handler writes. Set once, before there is a handler; a constant until then, so that reading it in
/// a handler runs no initializer.
private nonisolated(unsafe) var signalPipe: Int32 = -1
