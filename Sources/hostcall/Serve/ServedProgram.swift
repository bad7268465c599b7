import Glibc

/// The command that `serve` runs, found before the first call needs it.
struct ServedProgram: Sendable {
  /// Where it is: every call runs the same file, whatever happens to `PATH`.
  let path: String
  /// The command as it was written, as it sees its own name.
  let words: [String]

  /// Looks the command up as a shell would.
  ///
  /// Errors: there is no such program, or it may not be run.
  init(_ words: [String], searchPath: String?) throws(CommandFailure) {
    let name = words[0]
    self.words = words
    if name.contains("/") {
      path = name
    } else if let found = Self.find(name, searchPath ?? Self.systemSearchPath) {
      path = found
    } else {
      throw CommandFailure("cannot find the command \(Diagnostics.oneLine(name)) in PATH", .usage)
    }
    guard access(path, X_OK) == 0 else {
      throw CommandFailure("cannot run \(Diagnostics.oneLine(name)): \(Diagnostics.reason(errno))", .usage)
    }
  }

  /// Where commands are looked for when `PATH` is not set.
  private static let systemSearchPath = "/usr/local/bin:/usr/bin:/bin"

  /// The first file of that name that may be run; else the first that may not, which says more than that there is none.
  private static func find(_ name: String, _ searchPath: String) -> String? {
    let candidates = searchPath.split(separator: ":", omittingEmptySubsequences: false)
      .map { "\($0.isEmpty ? "." : $0)/\(name)" }
      .filter(isFile)
    return candidates.first { access($0, X_OK) == 0 } ?? candidates.first
  }

  private static func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }
}
