import Glibc
import HostcallLoop

/// What a message and its echo take over a bare Unix socket between two threads, one at a time: the least that any
/// answer from another thread or process can take here.
enum RawPingPong {
  /// Exchanges that are made before, and not counted.
  static let warmUpExchanges = 200
  /// Exchanges at most.
  static let mostExchanges = 20_000
  /// Time at most.
  static let longestSeconds = 1.0

  /// Measures so many exchanges of so many bytes, at least one byte.
  ///
  /// Two threads block for it, neither of them the caller's. Errors: no descriptor or thread is to be had.
  static func measure(exchanges: Int, sizeBytes: Int) async throws(LoopError) -> LatencyRecord {
    let result = await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
      do throws(LoopError) {
        try SystemThread(named: "ping") { continuation.resume(returning: ping(exchanges, max(1, sizeBytes))) }.detach()
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
    return try result.get()
  }

  private typealias Outcome = Result<LatencyRecord, LoopError>

  /// The body of the thread that measures.
  private static func ping(_ exchanges: Int, _ sizeBytes: Int) -> Outcome {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      return .failure(
        LoopError(
          attempted: "make a pair of sockets", code: errno, advice: "is the limit on open files (ulimit -n) met?"))
    }
    let (near, far) = (ends[0], ends[1])
    defer { close(far) }
    do throws(LoopError) {
      let thread = try SystemThread(named: "pong") { echo(far, sizeBytes) }
      // Closing the near end ends the echo, which may still be reading from the far one.
      defer {
        close(near)
        thread.join()
      }
      return .success(try exchange(near, exchanges, sizeBytes))
    } catch {
      return .failure(error)
    }
  }

  private static func exchange(_ descriptor: Int32, _ exchanges: Int, _ sizeBytes: Int) throws(LoopError)
    -> LatencyRecord
  {
    var record = LatencyRecord()
    var bytes = BenchPayload(sizeBytes: sizeBytes).bytes(ofCall: 0)
    let end = ContinuousClock.now + .seconds(longestSeconds)
    for number in -warmUpExchanges..<min(exchanges, mostExchanges) {
      let begun = ContinuousClock.now
      guard writeAll(bytes, to: descriptor), readAll(&bytes, from: descriptor) else {
        throw LoopError(attempted: "exchange messages over a pair of sockets", code: errno)
      }
      let ended = ContinuousClock.now
      if number >= 0 { record.record(ended - begun) }
      // One exchange is enough to have figures.
      if ended >= end, number >= 0 { break }
    }
    return record
  }

  /// The body of the thread that echoes: until the other end is closed.
  private static func echo(_ descriptor: Int32, _ sizeBytes: Int) {
    var bytes = [UInt8](repeating: 0, count: sizeBytes)
    while readAll(&bytes, from: descriptor), writeAll(bytes, to: descriptor) {}
  }

  private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    (try? StandardStreams.write(bytes, to: descriptor)) != nil
  }

  /// Reads until all of it is filled; false at the end of the stream.
  private static func readAll(_ bytes: inout [UInt8], from descriptor: Int32) -> Bool {
    bytes.withUnsafeMutableBytes { bytes in
      var position = 0
      while position < bytes.count {
        let count = read(descriptor, bytes.baseAddress! + position, bytes.count - position)
        if count > 0 {
          position += count
        } else if count == 0 || errno != EINTR {
          return false
        }
      }
      return true
    }
  }
}
