import Glibc
import HostcallLoop

/// How a command ended.
enum CommandEnding: Equatable {
  case exited(status: Int32)
  case signalled(number: Int32)

  /// From what `waitpid` gives.
  init(waitStatus: Int32) {
    self = waitStatus & 0x7f == 0 ? .exited(status: waitStatus >> 8 & 0xff) : .signalled(number: waitStatus & 0x7f)
  }
}

/// Tells the thread that serves one command what happens meanwhile: the command has ended, or its call has.
///
/// Thread: any.
final class CommandWatch: Sendable {
  private struct State {
    var ending: CommandEnding?
    var isCancelled = false
  }

  private let state = HeapLock(State())
  private let pipe: CommandPipe

  /// Errors: no descriptor is free.
  init() throws(LoopError) {
    pipe = try CommandPipe()
    pipe.readEnd.neverBlock()
  }

  /// How the command ended; nil while it runs.
  var ending: CommandEnding? { state.withLock(\.ending) }

  /// Whether the call has been cancelled, or its time is up.
  var isCancelled: Bool { state.withLock(\.isCancelled) }

  /// Can be read when there is news.
  var descriptor: Int32 { pipe.readEnd.number }

  /// The command has ended.
  func ended(_ ending: CommandEnding) {
    state.withLock { $0.ending = ending }
    wake()
  }

  /// Nobody waits for the command's result any more.
  func cancel() {
    state.withLock { $0.isCancelled = true }
    wake()
  }

  /// Takes the news away from the descriptor. Each of the two comes once at most, so that one read takes all.
  func acknowledge() {
    var bytes: (UInt8, UInt8) = (0, 0)
    _ = read(pipe.readEnd.number, &bytes, 2)
  }

  private func wake() {
    var byte: UInt8 = 0
    _ = write(pipe.writeEnd.number, &byte, 1)
  }
}
