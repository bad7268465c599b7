import Glibc
import Subprocess
import SystemPackage

/// The command that `serve` runs, found before the first call needs it.
struct ServedProgram: Sendable {
  /// Where it is: every call runs the same file, whatever happens to `PATH` or the folder.
  let path: FilePath
  /// The command as it was written, as it sees its own name.
  let words: [String]

  /// Looks the command up as a shell would.
  ///
  /// Errors: there is no such program, or it may not be run.
  init(_ words: [String]) async throws(CommandFailure) {
    let name = words[0]
    self.words = words
    if name.contains("/") {
      path = FilePath(name)
    } else {
      do {
        path = try await Executable.name(name).resolveExecutablePath(in: .inherit)
      } catch {
        throw CommandFailure("cannot find the command \(name) in PATH", .usage)
      }
    }
    guard access(path.string, X_OK) == 0 else {
      throw CommandFailure("cannot run \(name): \(Diagnostics.reason(errno))", .usage)
    }
  }

  var executable: Executable { .path(path) }

  var arguments: Arguments {
    Arguments(executablePathOverride: words[0], remainingValues: Array(words.dropFirst()))
  }
}
