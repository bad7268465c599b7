import Glibc
import HostcallTestSupport
import HostcallWire
import Testing

/// What a call costs in the daemon, in counts, which are the same on a busy machine: `hostcalld` as it is released, under
/// valgrind, with everything switched on.
///
/// `Scripts/test` builds it and names it in `HOSTCALL_RELEASE_DAEMON`; a debug build tells nothing about cost.
@Suite("Cost of a call", .serialized, .enabled(if: getenv("HOSTCALL_RELEASE_DAEMON") != nil))
struct CallCostTests {
  /// User-space instructions of the daemon for a call, with ``inFlight`` calls in flight: a tenth above what they are.
  static let mostInstructions = 2_150
  /// Times that the daemon allocates memory, for a thousand calls.
  static let mostAllocationsForThousand = 1
  private static let inFlight = 256
  /// Calls of a run that is taken away from the other, with all that a daemon does once: as many as its tables need to
  /// get as large as they have to be, with the outcomes that they remember.
  private static let fewCalls = 8 * inFlight
  private static let manyCalls = 96 * inFlight

  @Test func aCallTakesFewInstructions() throws {
    let instructions = try costOfCalls(.callgrind)
    print("aCallTakesFewInstructions: \(instructions / (Self.manyCalls - Self.fewCalls)) a call")
    #expect(instructions <= Self.mostInstructions * (Self.manyCalls - Self.fewCalls))
    // Below what a relay without any rules takes, what was counted was not the calls.
    #expect(instructions >= 200 * (Self.manyCalls - Self.fewCalls))
  }

  @Test func aCallAllocatesNothing() throws {
    let allocations = try costOfCalls(.memcheck)
    print("aCallAllocatesNothing: \(allocations) allocations for \(Self.manyCalls - Self.fewCalls) calls")
    #expect(allocations * 1_000 <= Self.mostAllocationsForThousand * (Self.manyCalls - Self.fewCalls))
  }

  /// What is counted.
  private enum Counter {
    case callgrind
    case memcheck

    var arguments: [String] {
      switch self {
      case .callgrind: ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
      case .memcheck: ["--leak-check=no", "--undef-value-errors=no"]
      }
    }

    /// What stands before the number in what it writes at the end.
    var label: String {
      switch self {
      case .callgrind: "Collected : "
      case .memcheck: "total heap usage: "
      }
    }
  }

  /// The count for the calls that the long run has made more than the short one.
  private func costOfCalls(_ counter: Counter) throws -> Int {
    let few = try count(counter, calls: Self.fewCalls)
    return try count(counter, calls: Self.manyCalls) - few
  }

  private func count(_ counter: Counter, calls: Int) throws -> Int {
    let folder = TemporaryFolder()
    let program = folder.file("hostcalld")
    let release = String(cString: try #require(getenv("HOSTCALL_RELEASE_DAEMON")))
    // What valgrind 3.19 makes of the debugging information of C++ is that the file is damaged.
    #expect(try ChildProcess("/usr/bin/strip", ["--strip-debug", "-o", program, release]).wait() == 0)
    let daemon = try ChildProcess(
      "/usr/bin/valgrind",
      counter.arguments + [program, "--socket", folder.file("s"), "--log-level", "error"],
      errors: folder.file("log"))
    let worker = try RawPeer.waiting(for: folder.file("s"), while: { daemon.isRunning })
    try exchange(calls, RawPeer(folder.file("s")), worker)
    #expect(daemon.stop() == 0)
    let log = daemon.standardError()
    let number = log.split(separator: "\n").compactMap {
      $0.split(separator: counter.label, maxSplits: 1).dropFirst().first
    }
    let digits = try #require(number.first, "no “\(counter.label)”: \(log)").prefix { $0.isNumber || $0 == "," }
    return try #require(Int(digits.filter(\.isNumber)))
  }

  /// Makes calls of a bound name with payloads of 64 bytes, so many in flight at once.
  private func exchange(_ calls: Int, _ caller: RawPeer, _ worker: RawPeer) throws {
    try worker.register("echo", concurrency: UInt32(Self.inFlight))
    try caller.send(FrameHeader(kind: .bind, id: 1), name: "echo")
    let handle = try caller.expect(.result).header.aux
    let payload = [UInt8](repeating: 42, count: 64)
    var request: UInt64 = 1
    for _ in 0..<(calls / Self.inFlight) {
      var frames: [UInt8] = []
      for _ in 0..<Self.inFlight {
        request += 1
        FrameEncoder.append(
          FrameHeader(kind: .call, id: request, function: handle), name: "", metadata: [:], payload: payload,
          to: &frames)
      }
      try caller.send(frames)
      frames = []
      for _ in 0..<Self.inFlight {
        let invoke = try worker.expect(.invoke)
        FrameEncoder.append(
          FrameHeader(kind: .complete, id: invoke.header.id), name: "", metadata: [:], payload: invoke.payload,
          to: &frames)
      }
      try worker.send(frames)
      for _ in 0..<Self.inFlight {
        let result = try caller.expect(.result)
        guard result.header.status == .ok, result.payload == payload else {
          Issue.record("a call ended with \(result.header.status)")
          return
        }
      }
    }
  }
}
