import Glibc
import HostcallClient
import HostcallLoop

/// The SOURCE of `call --items`: the lines of standard input (`-`) or of a file (`@FILE`), each without its line feed.
///
/// A line is read when it is asked for, on a thread that may block. What is not ended by a line feed is a line too.
struct InputLines: AsyncSequence, Sendable {
  /// What to read from, and what to call it.
  let descriptor: Int32
  let name: String
  /// Bytes of the longest line.
  let limitBytes: Int

  /// Opens the source. Errors: it cannot be opened.
  init(_ source: ItemSource, limitBytes: Int) throws(CommandFailure) {
    self.limitBytes = limitBytes
    switch source {
    case .standardInput: (descriptor, name) = (STDIN_FILENO, "standard input")
    case .file(let path):
      // It stays open until the program ends.
      descriptor = open(path, O_RDONLY | O_CLOEXEC)
      name = path
      guard descriptor >= 0 else {
        throw CommandFailure("cannot read \(path): \(Diagnostics.reason(errno))", .noInput)
      }
    }
  }

  func makeAsyncIterator() -> Iterator { Iterator(lines: self) }

  struct Iterator: AsyncIteratorProtocol {
    let lines: InputLines
    private var bytes: [UInt8] = []
    private var position = 0
    private var isAtEnd = false

    init(lines: InputLines) { self.lines = lines }

    /// The next line. Errors: it cannot be read, or is too long.
    mutating func next() async throws -> [UInt8]? {
      while true {
        if let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) {
          defer { position = end + 1 }
          return Array(bytes[position..<end])
        }
        bytes.removeFirst(position)
        position = 0
        if isAtEnd {
          defer { bytes = [] }
          return bytes.isEmpty ? nil : bytes
        }
        guard bytes.count <= lines.limitBytes else {
          let limit = HumanText.bytes(UInt64(lines.limitBytes))
          throw CommandFailure(
            "a line of \(lines.name) is longer than \(limit), the most that the daemon takes", .refused)
        }
        let piece = try await lines.piece()
        isAtEnd = piece.isEmpty
        bytes += piece
      }
    }
  }

  /// What one read brings; nothing at the end.
  private func piece() async throws -> [UInt8] {
    try await withCheckedThrowingContinuation { continuation in
      do {
        try SystemThread(named: "input") {
          continuation.resume(
            with: Result { () throws(StreamError) in try StandardStreams.readOnce(descriptor) }
              .mapError { CommandFailure("cannot read \(name): \(Diagnostics.reason($0.code))", .noInput) })
        }.detach()
      } catch {
        continuation.resume(throwing: error)
      }
    }
  }
}

/// Where argument items come from, a line each.
enum ItemSource: Equatable {
  case standardInput
  case file(String)

  /// Reads `-` or `@FILE`; nil for anything else.
  init?(_ argument: String) {
    switch argument {
    case "-": self = .standardInput
    case _ where argument.hasPrefix("@") && argument.count > 1: self = .file(String(argument.dropFirst()))
    default: return nil
    }
  }
}
