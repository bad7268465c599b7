import Glibc

/// The files of `call --fd`, open for reading, until the call has duplicates of them.
struct PassedFiles: ~Copyable {
  private(set) var numbers: [Int32] = []

  /// Opens all of them. Errors: one cannot be opened.
  init(_ paths: [String]) throws(CommandFailure) {
    for path in paths {
      let number = open(path, O_RDONLY | O_CLOEXEC)
      guard number >= 0 else {
        let reason = Diagnostics.reason(errno)
        throw CommandFailure("cannot open \(path): \(reason)", .noInput)
      }
      numbers.append(number)
    }
  }

  deinit {
    for number in numbers { close(number) }
  }
}
