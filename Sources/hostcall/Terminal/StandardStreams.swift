import Glibc

/// A read or write that the system refused.
struct StreamError: Error, Equatable {
  /// The system's number for it.
  let code: Int32
}

/// Whole reads and writes on descriptors. They block the calling thread.
enum StandardStreams {
  /// Writes all of the bytes.
  static func write(_ bytes: [UInt8], to descriptor: Int32) throws(StreamError) {
    var position = 0
    while position < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + position, $0.count - position) }
      if count >= 0 {
        position += count
      } else {
        try retry(descriptor, POLLOUT)
      }
    }
  }

  /// Reads to the end, or until there is more than the limit: then the bytes are one more than it.
  static func read(_ descriptor: Int32, limitBytes: Int) throws(StreamError) -> [UInt8] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while bytes.count <= limitBytes {
      let count = Glibc.read(descriptor, &piece, min(piece.count, limitBytes + 1 - bytes.count))
      if count > 0 {
        bytes.append(contentsOf: piece[..<count])
      } else if count == 0 {
        break
      } else {
        try retry(descriptor, POLLIN)
      }
    }
    return bytes
  }

  /// What one read brings, at most 64 KiB; nothing at the end.
  static func readOnce(_ descriptor: Int32) throws(StreamError) -> [UInt8] {
    var piece = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Glibc.read(descriptor, &piece, piece.count)
      if count >= 0 { return Array(piece[..<count]) }
      try retry(descriptor, POLLIN)
    }
  }

  /// Returns where trying again may do: after an interruption, or when a descriptor that does not block is ready.
  private static func retry(_ descriptor: Int32, _ event: Int32) throws(StreamError) {
    switch errno {
    case EINTR: break
    case EAGAIN:
      var waiting = pollfd(fd: descriptor, events: Int16(event), revents: 0)
      _ = poll(&waiting, 1, -1)
    case let code: throw StreamError(code: code)
    }
  }
}

/// Standard output, as bytes.
enum Output {
  /// Writes the bytes as they are; on a terminal, a line that is not ended is. As a line it is ended everywhere, and
  /// nothing is an empty one.
  static func write(_ bytes: [UInt8], asLine isLine: Bool = false) throws(CommandFailure) {
    let lineFeed = UInt8(ascii: "\n")
    var bytes = bytes
    if isLine ? bytes.last != lineFeed : bytes.last ?? lineFeed != lineFeed && isatty(STDOUT_FILENO) == 1 {
      bytes.append(lineFeed)
    }
    do {
      try StandardStreams.write(bytes, to: STDOUT_FILENO)
    } catch {
      // Whoever read it has had enough, which they know.
      if error.code == EPIPE { throw CommandFailure(nil, .signal(SIGPIPE)) }
      throw CommandFailure("cannot write to standard output: \(Diagnostics.reason(error.code))", .outputFailed)
    }
  }

  /// Writes text and ends its line.
  static func writeLine(_ text: String) throws(CommandFailure) {
    try write(Array("\(text)\n".utf8))
  }
}
