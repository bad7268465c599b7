import Glibc

/// The open files of a daemon, and how many more it may have.
extension DaemonProcess {
  package var openDescriptors: Int { Files.count(in: "/proc/\(processID)/fd") }

  /// From now on it can open so many more descriptors; of those that it has it loses none.
  package func leaveRoom(forDescriptors count: Int) throws {
    // The limit is not on how many there are, but on their numbers, of which the lowest that is free is always next.
    var limit = 0
    var free = 0
    while isOpen(limit) || free < count {
      if !isOpen(limit) { free += 1 }
      limit += 1
    }
    // The hard limit stays, or else only the superuser could take it back. The system call does not reach Swift.
    let status = try ChildProcess("/usr/bin/prlimit", ["--pid", "\(processID)", "--nofile=\(limit):"]).wait()
    precondition(status == 0, "prlimit ends with \(status)")
  }

  private func isOpen(_ number: Int) -> Bool {
    var information = stat()
    return lstat("/proc/\(processID)/fd/\(number)", &information) == 0
  }
}
