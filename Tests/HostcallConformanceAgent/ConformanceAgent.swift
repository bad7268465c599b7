import Glibc

/// Does with the Swift client library what the driver of the conformance test tells it: one of several such agents, a
/// program for each language. What they understand and report is in `Tests/Conformance/Agents.md`.
///
/// Usage: `hostcall-conformance-agent SOCKET`.
@main
struct ConformanceAgent {
  static func main() async {
    guard CommandLine.arguments.count == 2 else { fail("usage: hostcall-conformance-agent SOCKET") }
    let agent = Agent(socketPath: CommandLine.arguments[1])
    var input = InputLines()
    // The main thread may block here: tasks run on the others.
    while let line = input.next() {
      do throws(Misunderstanding) {
        try await agent.obey(Command(line))
      } catch {
        fail("hostcall-conformance-agent: \(error.reason): \(String(decoding: line.prefix(120), as: UTF8.self))")
      }
    }
    await agent.leave()
    exit(0)
  }

  private static func fail(_ text: String) -> Never {
    let line = Array((text + "\n").utf8)
    _ = write(STDERR_FILENO, line, line.count)
    exit(64)
  }
}

/// Standard input, a line at a time.
private struct InputLines {
  private static let readBytes = 1 << 20

  private var bytes: [UInt8] = []
  /// Where the next line begins, and up to where there is known to be no end of it.
  private var start = 0
  private var searched = 0

  /// The next line without its end, nil at the end of the input. Blocks the thread until it is there.
  mutating func next() -> ArraySlice<UInt8>? {
    while true {
      if let end = indexOfNewline() {
        defer { (start, searched) = (end + 1, end + 1) }
        return bytes[start..<end]
      }
      bytes.removeFirst(start)
      (start, searched) = (0, bytes.count)
      guard readMore() else { return nil }
    }
  }

  private func indexOfNewline() -> Int? {
    bytes.withUnsafeBytes { buffer in
      guard let base = buffer.baseAddress, searched < buffer.count else { return nil }
      return memchr(base + searched, 0x0a, buffer.count - searched).map { UnsafeRawPointer($0) - base }
    }
  }

  private mutating func readMore() -> Bool {
    let chunk = [UInt8](unsafeUninitializedCapacity: Self.readBytes) { buffer, count in
      count = max(0, read(STDIN_FILENO, buffer.baseAddress, buffer.count))
    }
    bytes.append(contentsOf: chunk)
    return !chunk.isEmpty
  }
}
