import Glibc
import HostcallLoop
import HostcallTestSupport
import HostcallWire

/// A caller and a worker that have nothing to do with a flood, and want their answers.
struct Bystander {
  private static let name = "bystander.echo"
  /// Bytes of the payload of each call.
  private static let payload = [UInt8](repeating: 42, count: 64)

  private let caller: RawPeer
  private let worker: RawPeer
  private var request: UInt64 = 0

  init(_ socketPath: String) throws {
    worker = try Self.startWorker(socketPath, name: Self.name)
    caller = try RawPeer(socketPath)
  }

  /// Ends both.
  func close() {
    caller.hangUp()
    worker.hangUp()
  }

  /// Registers a function that answers with what it is given, on a thread of its own that ends with the connection.
  static func startWorker(_ socketPath: String, name: String) throws -> RawPeer {
    let peer = try RawPeer(socketPath)
    try peer.register(name, concurrency: 65_535)
    peer.waitForEver()
    nonisolated(unsafe) let worker = peer
    try SystemThread(named: "echo") {
      while let frame = try? worker.next() {
        guard frame.kind == .invoke else { continue }
        do { try worker.complete(frame.header.id, payload: frame.payload) } catch { return }
      }
    }.detach()
    return peer
  }

  /// Calls one after the other; gives how long each took, sorted.
  ///
  /// - Parameters:
  ///   - count: how many calls at the least.
  ///   - isOver: asked now and then once these are made; the calls go on until it says so.
  mutating func measure(count: Int, until isOver: () throws -> Bool = { true }) throws -> Latencies {
    var nanoseconds: [UInt64] = []
    nanoseconds.reserveCapacity(count)
    while try nanoseconds.count < count || !nanoseconds.count.isMultiple(of: 100) || !isOver() {
      request += 1
      let start = MonotonicTime.nanoseconds()
      try caller.call(Self.name, request: request, payload: Self.payload)
      let result = try caller.expect(.result)
      nanoseconds.append(MonotonicTime.nanoseconds() - start)
      guard result.header.id == request, result.header.status == .ok, result.payload == Self.payload else {
        throw SoakFailure("call \(request) ended with \(result.header.status) (id \(result.header.id)): \(result.text)")
      }
    }
    return Latencies(nanoseconds)
  }

  /// As many open files as the system lets this process have.
  static func raiseDescriptorLimit() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}

/// How long calls took.
package struct Latencies: Sendable {
  private let sorted: [UInt64]

  init(_ nanoseconds: [UInt64]) {
    sorted = nanoseconds.sorted()
  }

  package var count: Int { sorted.count }

  /// The time that so many of a thousand calls did not exceed, in microseconds.
  package func microseconds(perThousand: Int) -> Double {
    guard !sorted.isEmpty else { return 0 }
    return Double(sorted[min(sorted.count - 1, sorted.count * perThousand / 1_000)]) / 1_000
  }

  package var median: Double { microseconds(perThousand: 500) }
  package var p99: Double { microseconds(perThousand: 990) }
}
