import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// Frames that get memory of their own on their way through the daemon, and those that only just do not.
@Suite("Large frames")
struct LargeFramesTests {
  private static let mebibyte = 1_048_576

  /// Bytes of which any that is lost, repeated or moved shows.
  private func pattern(_ byteCount: Int, salt: Int = 0) -> [UInt8] {
    var random = SeededGenerator(seed: UInt64(byteCount + salt))
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount + 8)
    while bytes.count < byteCount { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
    return Array(bytes.prefix(byteCount))
  }

  private func stats(_ peer: RawPeer) throws -> StatsReport {
    try peer.call("hostcall.stats", request: 0xabc)
    return try JSONDecoder().decode(StatsReport.self, from: Data(try peer.expect(.result).payload))
  }

  @Test func everySizeAroundTheirsPassesBothWaysUnchanged() throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    let caller = try RawPeer(daemon.socketPath)
    // With these the daemon puts a name and metadata of its own in front of the payload.
    try worker.register("large.*", metadata: ["caller": "true"])
    let edges = [65_536, 131_072, 196_608, 262_144, 393_216, Self.mebibyte, 3 * Self.mebibyte]
    for edge in edges {
      for byteCount in [edge - 300, edge - 33, edge - 32, edge - 12, edge - 11, edge - 10, edge - 1, edge, edge + 1] {
        let (argument, answer) = (pattern(byteCount), pattern(byteCount, salt: 1))
        try caller.send(
          FrameHeader(kind: .call, id: 1), name: "large.name", metadata: ["key": "value"], payload: argument)
        let invoke = try worker.expect(.invoke)
        guard invoke.payload == argument, invoke.name == "large.name", invoke.metadata["key"] == "value",
          invoke.metadata["hostcall-caller-pid"] == "\(getpid())"
        else {
          Issue.record("a call of \(byteCount) bytes is changed")
          return
        }
        try worker.send(
          FrameHeader(kind: .complete, id: invoke.header.id), metadata: ["other": "value"], payload: answer)
        let result = try caller.expect(.result)
        guard result.payload == answer, result.metadata["other"] == "value" else {
          Issue.record("a result of \(byteCount) bytes is changed")
          return
        }
      }
    }
  }

  @Test func manyAtOnceInRandomSizesAndFragmentsAreUnchanged() async throws {
    let daemon = try DaemonProcess()
    let worker = try RawPeer(daemon.socketPath)
    let caller = try RawPeer(daemon.socketPath)
    try worker.register("f")
    var random = SeededGenerator(announcedFor: "large frames")
    let sizes = (0..<60).map { _ in
      Int.random(in: 0...[100, 70_000, 140_000, 700_000].randomElement(using: &random)!, using: &random)
    }
    var stream: [UInt8] = []
    for (index, size) in sizes.enumerated() {
      let header = FrameHeader(kind: .call, id: UInt64(index + 1))
      FrameEncoder.append(header, name: "f", payload: pattern(size, salt: index), to: &stream)
    }
    let cuts = (0..<40).map { _ in Int.random(in: 0...stream.count, using: &random) }.sorted()
    let bytes = stream
    let calling = Thread.running {
      var start = 0
      for cut in cuts + [bytes.count] {
        try caller.send(Array(bytes[start..<cut]))
        start = cut
        sched_yield()
      }
    }
    for (index, size) in sizes.enumerated() {
      let invoke = try worker.expect(.invoke)
      #expect(invoke.payload == pattern(size, salt: index), "call \(index)")
      try worker.complete(invoke.header.id, payload: invoke.payload)
      let result = try caller.expect(.result)
      #expect(result.header.id == UInt64(index + 1) && result.payload == invoke.payload, "result \(index)")
    }
    try calling()
  }

  @Test func aCallWhoseWorkerDiesInItsMiddleReachesTheNextUnchanged() throws {
    let daemon = try DaemonProcess()
    let caller = try RawPeer(daemon.socketPath)
    let payload = pattern(4 * Self.mebibyte)
    // Once because it may be sent again, and once because it has not wholly left.
    for flags in [FrameFlags.idempotent, []] {
      let first = try RawPeer(daemon.socketPath)
      try first.register("f")
      try caller.call("f", request: 1, flags: [flags, .wait], payload: payload)
      _ = try first.receive(100_000)
      let second = try RawPeer(daemon.socketPath)
      try second.register("f")
      first.close()
      let invoke = try second.expect(.invoke)
      #expect(invoke.payload == payload)
      try second.complete(invoke.header.id)
      try caller.expect(.result)
      #expect(try stats(caller).storedPayloadBytes == 0)
    }
  }

  @Test func whoStopsInTheMiddleIsChargedForWhatIsHeldAndClosedAtTheLimit() throws {
    let daemon = try DaemonProcess(configuration: "[limits]\ninput-bytes-per-user = 1048576\n")
    let header = FrameEncoder.encode(
      FrameHeader(kind: .call, id: 1), name: "f", payload: [UInt8](repeating: 1, count: 8 * Self.mebibyte))
    // A length alone holds nothing.
    let modest = try (0..<50).map { _ in
      let peer = try RawPeer(daemon.socketPath)
      try peer.send(Array(header.prefix(40)))
      return peer
    }
    // Each of these has one segment of 128 KiB: seven fit.
    let others = try (0..<7).map { _ in
      let peer = try RawPeer(daemon.socketPath)
      try peer.send(Array(header.prefix(50_000)))
      return peer
    }
    let last = try RawPeer(daemon.socketPath)
    try last.send(Array(header.prefix(50_000)))
    let goaway = try last.expect(.goaway)
    #expect(goaway.header.status == .overloaded && goaway.text.contains("(input-bytes-per-user)"))
    for peer in others + modest { #expect(!peer.hasEnded) }
    // What is released can be had again.
    others[0].close()
    let next = try RawPeer(daemon.socketPath)
    try next.send(Array(header.prefix(50_000)))
    let witness = try RawPeer(daemon.socketPath)
    try witness.barrier()
    #expect(!next.hasEnded)
  }

  @Test func theDaemonItselfTakesThemWhole() throws {
    let daemon = try DaemonProcess()
    let caller = try RawPeer(daemon.socketPath)
    for byteCount in [65_525, 65_526, 131_100, 700_000] {
      let payload = pattern(byteCount)
      try caller.call("hostcall.echo", request: 1, payload: payload)
      #expect(try caller.expect(.result).payload == payload)
    }
  }

  @Test func anEventReachesAllUnchanged() throws {
    let daemon = try DaemonProcess()
    let subscribers = try (0..<20).map { _ in
      let peer = try RawPeer(daemon.socketPath)
      try peer.send(FrameHeader(kind: .subscribe, id: 1), name: "news")
      try peer.expect(.result)
      return peer
    }
    let publisher = try RawPeer(daemon.socketPath)
    let payload = pattern(Self.mebibyte)
    try publisher.send(FrameHeader(kind: .publish, id: 1), name: "news", payload: payload)
    #expect(try publisher.expect(.result).header.aux == 20)
    for subscriber in subscribers { #expect(try subscriber.expect(.event).payload == payload) }
  }

  @Test(.enabled(if: Self.freedMemoryGoesBack, "under a sanitizer memory that is freed is kept"))
  func theMemoryOfABurstGoesBack() throws {
    let daemon = try DaemonProcess()
    let caller = try RawPeer(daemon.socketPath)
    try caller.barrier()
    let before = try residentBytes(of: daemon)
    let payload = pattern(Self.mebibyte)
    for request in 1...40 as ClosedRange<UInt64> {
      try caller.call("f", request: request, flags: .wait, timeoutMilliseconds: 600_000, payload: payload)
    }
    try caller.barrier()
    let during = try residentBytes(of: daemon)
    #expect(during - before > 30 << 20)
    caller.close()
    let witness = try RawPeer(daemon.socketPath)
    try eventually("memory is given back") {
      try witness.barrier()
      return try residentBytes(of: daemon) - before < 6 << 20
    }
  }

  private static var freedMemoryGoesBack: Bool {
    getenv("HOSTCALL_VALGRIND") == nil && dlsym(nil, "__asan_init") == nil && dlsym(nil, "__tsan_init") == nil
  }

  private func residentBytes(of daemon: DaemonProcess) throws -> Int {
    let text = String(decoding: Files.read("/proc/\(daemon.processID)/statm"), as: UTF8.self)
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * Int(getpagesize())
  }
}

extension Thread {
  /// Runs `body` in a thread of its own; what is returned waits for its end and throws its error.
  fileprivate static func running(_ body: @escaping () throws -> Void) -> () throws -> Void {
    nonisolated(unsafe) let body = body
    nonisolated(unsafe) var failure: (any Error)?
    let isOver = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      do { try body() } catch { failure = error }
      isOver.signal()
    }
    return {
      isOver.wait()
      if let failure { throw failure }
    }
  }
}
