import Glibc
import Testing

@testable import HostcallLoop

@Suite("LineWriter")
struct LineWriterTests {
  private func pipe(capacityBytes: Int32? = nil) -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    precondition(Glibc.pipe(&ends) == 0)
    // Processes that other tests start must not keep it open.
    for end in ends { precondition(fcntl(end, F_SETFD, FD_CLOEXEC) == 0) }
    // F_SETPIPE_SZ, which does not reach Swift.
    if let capacityBytes { precondition(fcntl(ends[1], 1_031, capacityBytes) >= capacityBytes) }
    return (ends[0], ends[1])
  }

  private func writer(_ descriptor: Int32, queuedLines: Int = 100) throws -> LineWriter {
    try LineWriter(descriptor, queuedLines: queuedLines) { "\($0) lost" }
  }

  @Test("lines come in their order, all of them")
  func keepsOrder() throws {
    let (reader, end) = pipe()
    let writer = try writer(end, queuedLines: 10_000)
    let read = try LineReader(reader)
    for number in 0..<10_000 { writer.append("line \(number)") }
    #expect(writer.finish(withinMilliseconds: 20_000))
    close(end)
    #expect(read.lines() == (0..<10_000).map { "line \($0)" })
  }

  @Test("a reader that does not read holds nobody up, and learns how many lines it lost")
  func countsWhatIsLost() throws {
    let (reader, end) = pipe(capacityBytes: 4_096)
    let writer = try writer(end, queuedLines: 3)
    for number in 0..<1_000 { writer.append("\(number) " + String(repeating: "x", count: 1_000)) }
    let read = try LineReader(reader)
    #expect(writer.finish(withinMilliseconds: 20_000))
    close(end)
    let got = read.lines()
    let lost = got.compactMap { $0.hasSuffix(" lost") ? Int($0.dropLast(5)) : nil }
    #expect(lost.reduce(0, +) == 1_000 - (got.count - lost.count) && lost.count > 0)
    #expect(got.count - lost.count < 20)
  }

  @Test("a loss is told in its place, and at the end where nothing comes behind it")
  func tellsInPlace() {
    func line(_ text: String) -> [UInt8] { Array(text.utf8) }
    var queue = LineQueue(mostLines: 2)
    func next() -> LineQueue.Next? { queue.next() }
    // The thread is woken for the first.
    let wakes = ["a", "b", "c", "d"].map { queue.append(line($0)) }
    #expect(wakes == [true, false, false, false])
    #expect(next() == .write([.init(line: line("a"), lostBefore: 0), .init(line: line("b"), lostBefore: 0)]))
    // What is in the thread's hands waits still.
    queue.append(line("e"))
    queue.lineIsDone()
    queue.append(line("f"))
    #expect(next() == .write([.init(line: line("f"), lostBefore: 3)]))
    queue.append(line("g"))
    #expect(next() == .tellLoss(1))
    #expect(next() == nil)
    queue.finish()
    queue.append(line("h"))
    #expect(next() == .tellLoss(1))
    #expect(next() == .end)
  }

  @Test("at the end it waits for a reader that is slow, and not for one that does not read")
  func hasAnEnd() throws {
    let (reader, end) = pipe(capacityBytes: 4_096)
    let writer = try writer(end)
    for _ in 0..<10 { writer.append(String(repeating: "x", count: 4_000)) }
    #expect(!writer.finish(withinMilliseconds: 10))
    let read = try LineReader(reader)
    #expect(writer.finish(withinMilliseconds: 20_000))
    close(end)
    #expect(read.lines().count == 10)
  }

  @Test("a full disk, a reader that has gone and a closed descriptor cost the lines and nothing else")
  func survivesErrors() throws {
    let full = open("/dev/full", O_WRONLY)
    let (reader, broken) = pipe()
    close(reader)
    let closed = open("/dev/null", O_RDONLY)
    for descriptor in [full, broken, closed] {
      let writer = try writer(descriptor)
      for number in 0..<50 { writer.append("\(number)") }
      #expect(writer.finish(withinMilliseconds: 20_000))
      close(descriptor)
    }
  }

  @Test("once there is room again, it says how many lines were lost, on a line of its own")
  func saysSoWhenThereIsRoom() throws {
    // A socket whose reader reads only later, and which does not block: what a log reader may have made of it.
    let (reader, end) = try UnixSocket.pair()
    let writer = try writer(end, queuedLines: 5)
    for number in 0..<2_000 { writer.append("\(number) " + String(repeating: "x", count: 1_000)) }
    let flags = fcntl(reader, F_GETFL)
    #expect(fcntl(reader, F_SETFL, flags & ~O_NONBLOCK) == 0)
    let read = try LineReader(reader)
    #expect(writer.finish(withinMilliseconds: 20_000))
    close(end)
    let got = read.lines()
    #expect(got.contains { $0.hasSuffix(" lost") })
    #expect(got.allSatisfy { $0.hasSuffix(" lost") || $0.count > 1_000 })
  }

  @Test("a line that is too long is cut between characters")
  func cutsLongLines() {
    let most = LineWriter.longestLineBytes
    #expect(LineWriter.bytes(of: String(repeating: "x", count: most - 1)).count == most)
    for text in ["x", "ü", "€", "😀"] {
      let bytes = LineWriter.bytes(of: String(repeating: text, count: most))
      #expect(bytes.count <= most && bytes.count > most - 6 && bytes.last == UInt8(ascii: "\n"))
      #expect(String(validating: bytes, as: UTF8.self)?.hasSuffix("\(text)…\n") == true)
    }
  }

  @Test("letting go of it ends its thread when all is written")
  func endsItsThread() async throws {
    await #expect(processExitsWith: .success) {
      let null = open("/dev/null", O_WRONLY)
      let before = threadCount()
      for _ in 0..<20 {
        let writer = try LineWriter(null, queuedLines: 10) { "\($0)" }
        writer.append("x")
      }
      let isSo = await eventually { threadCount() <= before + 2 }
      precondition(isSo)
    }
  }
}

/// Reads a descriptor to its end, on a thread of its own.
private final class LineReader {
  private let bytes = HeapLock<[UInt8]>([])
  private let thread: SystemThread

  init(_ descriptor: Int32) throws {
    thread = try SystemThread(named: "reader") { [bytes] in
      var piece = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = read(descriptor, &piece, piece.count)
        if count <= 0 { break }
        bytes.withLock { $0.append(contentsOf: piece[..<count]) }
      }
      close(descriptor)
    }
  }

  /// All of them; once.
  func lines() -> [String] {
    thread.join()
    return bytes.withLock { String(decoding: $0, as: UTF8.self) }.split(separator: "\n").map(String.init)
  }
}
