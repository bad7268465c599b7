import Glibc
import HostcallLoop

/// A descriptor that is closed when its owner goes.
struct Descriptor: ~Copyable {
  let number: Int32

  deinit { close(number) }

  /// Reads and writes of it return at once from now on, with what can be done.
  func neverBlock() {
    _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK)
  }
}

extension Descriptor? {
  /// As `poll` wants it: -1 where there is none.
  var number: Int32 {
    switch self {
    case .some(let descriptor): descriptor.number
    case nil: -1
    }
  }
}

/// Duplicates of descriptors, with numbers from a certain one on, that no command inherits by itself.
struct PassedCopies: ~Copyable {
  private(set) var numbers: [Int32] = []

  /// Errors: no descriptor is free.
  init(of originals: [Int32], above lowest: Int32) throws(LoopError) {
    for original in originals {
      let copy = fcntl(original, F_DUPFD_CLOEXEC, lowest)
      guard copy >= 0 else {
        throw LoopError(
          attempted: "pass descriptors to a command", code: errno,
          advice: "is the limit on open files (ulimit -n) met?")
      }
      numbers.append(copy)
    }
  }

  deinit {
    for number in numbers { close(number) }
  }
}

/// A pipe of which no command inherits an end by itself.
struct CommandPipe: ~Copyable {
  var readEnd: Descriptor
  var writeEnd: Descriptor

  /// Errors: no descriptor is free.
  init() throws(LoopError) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else {
      throw LoopError(attempted: "make a pipe", code: errno, advice: "is the limit on open files (ulimit -n) met?")
    }
    readEnd = Descriptor(number: ends[0])
    writeEnd = Descriptor(number: ends[1])
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  }
}
