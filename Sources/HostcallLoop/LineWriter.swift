import Glibc

/// Writes lines to a descriptor, or records to the socket of a journal, on a thread of its own, so that whoever has something to say never waits for whoever
/// should read it.
///
/// What cannot be written is lost and counted: lines that come while as many as may be wait already, and lines that the
/// system refuses (a full disk, a reader that has gone, a descriptor that is closed). What gets through next is
/// preceded by a line that says how many there were.
///
/// A journal that is not there for a while, because it is started anew, loses records as a full disk does, and gets them
/// again when it is back.
///
/// A line has at most 4,096 bytes, the most that a pipe takes in one piece, so that lines of several processes do not
/// mix; what is longer is cut.
///
/// Thread: any. Letting go of the writer ends its thread when what waits has been written.
package final class LineWriter: Sendable {
  /// Bytes of the longest line, its end among them; PIPE_BUF.
  package static let longestLineBytes = 4_096

  private let queue: HeapCondition<LineQueue>

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - descriptor: where to write; it stays the caller's.
  ///   - queuedLines: lines that may wait.
  ///   - lossLine: what to say when lines were lost, without its end.
  ///
  /// Errors: a limit on threads or memory is met.
  package init(
    _ descriptor: Int32, queuedLines: Int, lossLine: @escaping @Sendable (_ lines: UInt64) -> String
  ) throws(LoopError) {
    queue = try Self.start(.lines(descriptor), queuedLines) { Self.bytes(of: lossLine($0)) }
  }

  /// The same for records, each a datagram of its own.
  ///
  /// - Parameters:
  ///   - journal: the path of the socket that takes them.
  ///   - queuedRecords: records that may wait.
  ///   - lossRecord: what to say when records were lost.
  package init(
    journal: String, queuedRecords: Int, lossRecord: @escaping @Sendable (_ records: UInt64) -> [UInt8]
  ) throws(LoopError) {
    queue = try Self.start(.records(to: journal), queuedRecords, lossRecord)
  }

  private static func start(
    _ destination: LineWriterThread.Destination, _ mostLines: Int, _ loss: @escaping @Sendable (UInt64) -> [UInt8]
  ) throws(LoopError) -> HeapCondition<LineQueue> {
    let queue = HeapCondition(LineQueue(mostLines: mostLines))
    try SystemThread(named: "log") {
      var thread = LineWriterThread(queue: queue, destination: destination, loss: loss)
      thread.run()
    }.detach()
    return queue
  }

  deinit {
    queue.change { $0.finish() }
  }

  /// Hands in a line, without its end. Never waits for a reader.
  package func append(_ line: String) {
    append(record: Self.bytes(of: line))
  }

  /// Hands in what is written as it is. Never waits for a reader.
  package func append(record: [UInt8]) {
    queue.change { $0.append(record) }
  }

  /// Waits until everything that was handed in has been written, or so much time has passed; then false. Lines that are
  /// handed in afterwards are lost.
  package func finish(withinMilliseconds milliseconds: Int) -> Bool {
    queue.change { $0.finish() }
    return queue.wait(milliseconds: milliseconds) { $0.isDone }
  }

  /// The line with its end, cut where it is too long.
  static func bytes(of line: String) -> [UInt8] {
    var bytes = Array(line.utf8)
    if bytes.count >= longestLineBytes {
      let mark = Array("…".utf8)
      var end = longestLineBytes - 1 - mark.count
      // Not in the middle of a character.
      while end > 0, bytes[end] & 0xc0 == 0x80 { end -= 1 }
      bytes.replaceSubrange(end..., with: mark)
    }
    bytes.append(UInt8(ascii: "\n"))
    return bytes
  }
}

/// Lines on their way to the thread that writes them.
struct LineQueue {
  struct Entry: Equatable {
    let line: [UInt8]
    /// Lines that were lost between the one before and this one.
    let lostBefore: UInt64
  }

  /// What the thread is to do next.
  enum Next: Equatable {
    case write([Entry])
    /// So many lines were lost behind the last one.
    case tellLoss(UInt64)
    case end
  }

  let mostLines: Int
  private var incoming: [Entry] = []
  /// Lines that are not written yet: incoming ones and those in the thread's hands.
  private var waiting = 0
  private var lost: UInt64 = 0
  private var isFinishing = false
  /// Whether the thread has written everything and takes nothing any more.
  var isDone = false

  init(mostLines: Int) {
    self.mostLines = mostLines
  }

  /// Whether the thread is to be woken.
  @discardableResult
  mutating func append(_ line: [UInt8]) -> Bool {
    guard waiting < mostLines, !isFinishing else {
      lost += 1
      return false
    }
    incoming.append(Entry(line: line, lostBefore: lost))
    lost = 0
    waiting += 1
    return incoming.count == 1
  }

  /// The thread is to be woken.
  @discardableResult
  mutating func finish() -> Bool {
    isFinishing = true
    return true
  }

  /// Nil where there is nothing to do.
  mutating func next() -> Next? {
    if !incoming.isEmpty {
      let entries = incoming
      incoming = []
      return .write(entries)
    }
    if lost > 0 {
      defer { lost = 0 }
      return .tellLoss(lost)
    }
    return isFinishing ? .end : nil
  }

  /// A line is off the thread's hands; nobody waits for that.
  @discardableResult
  mutating func lineIsDone() -> Bool {
    waiting -= 1
    return false
  }
}

/// The thread that writes. It may wait for a reader for as long as the process lives.
private struct LineWriterThread {
  enum Destination {
    /// One line after another, to a descriptor.
    case lines(Int32)
    /// A datagram each, to a socket.
    case records(to: String)
  }

  let queue: HeapCondition<LineQueue>
  let destination: Destination
  let loss: @Sendable (UInt64) -> [UInt8]
  /// Lines that were lost since the last one that got through.
  private var lost: UInt64 = 0
  /// Whether an error has cut the last line in its middle.
  private var isWithinLine = false

  init(queue: HeapCondition<LineQueue>, destination: Destination, loss: @escaping @Sendable (UInt64) -> [UInt8]) {
    self.queue = queue
    self.destination = destination
    self.loss = loss
  }

  mutating func run() {
    // A reader that goes away is an error like any other.
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    while true {
      switch queue.wait({ $0.next() }) {
      case .write(let entries):
        for entry in entries {
          tellLoss(entry.lostBefore)
          if !write(entry.line) { lost += 1 }
          queue.change { $0.lineIsDone() }
        }
      case .tellLoss(let lines): tellLoss(lines)
      case .end:
        queue.change { queue in
          queue.isDone = true
          return true
        }
        return
      }
    }
  }

  private mutating func tellLoss(_ more: UInt64) {
    lost += more
    if lost > 0, write(loss(lost)) { lost = 0 }
  }

  /// Whether all of it was written.
  private mutating func write(_ bytes: [UInt8]) -> Bool {
    switch destination {
    case .lines(let descriptor): return write(bytes, to: descriptor)
    case .records(let path):
      let outcome = Result { () throws(LoopError) in
        try UnixSocket.sendDatagram(bytes, to: path, mayWait: true, attempted: "write to the journal")
      }
      if case .success = outcome { return true }
      return false
    }
  }

  private mutating func write(_ line: [UInt8], to descriptor: Int32) -> Bool {
    let line = isWithinLine ? [UInt8(ascii: "\n")] + line : line
    var start = 0
    while start < line.count {
      let count = line[start...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count >= 0 {
        start += count
        continue
      }
      switch errno {
      case EINTR: continue
      case EAGAIN:
        var waited = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&waited, 1, -1)
      default:
        if start > 0 { isWithinLine = true }
        return false
      }
    }
    isWithinLine = false
    return true
  }
}
