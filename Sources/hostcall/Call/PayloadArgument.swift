import Glibc
import HostcallClient

/// The PAYLOAD of `call`: a text, `-` for standard input, or `@FILE`.
enum PayloadArgument: Equatable {
  case text(String)
  case standardInput
  case file(String)

  /// Left out means no bytes.
  init(_ argument: String?) {
    switch argument {
    case nil: self = .text("")
    case "-": self = .standardInput
    case let argument? where argument.hasPrefix("@"): self = .file(String(argument.dropFirst()))
    case let argument?: self = .text(argument)
    }
  }

  /// The bytes: at most one more than the limit. Blocks until they are there.
  func bytes(limitBytes: Int) throws(CommandFailure) -> [UInt8] {
    switch self {
    case .text(let text): return Array(text.utf8)
    case .standardInput: return try read(STDIN_FILENO, "standard input", limitBytes)
    case .file(let path):
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw cannotRead(path, errno) }
      defer { close(descriptor) }
      return try read(descriptor, path, limitBytes)
    }
  }

  private func read(_ descriptor: Int32, _ name: String, _ limitBytes: Int) throws(CommandFailure) -> [UInt8] {
    do {
      return try StandardStreams.read(descriptor, limitBytes: limitBytes)
    } catch {
      throw cannotRead(name, error.code)
    }
  }

  private func cannotRead(_ name: String, _ code: Int32) -> CommandFailure {
    CommandFailure("cannot read \(name): \(Diagnostics.reason(code))", .noInput)
  }
}
