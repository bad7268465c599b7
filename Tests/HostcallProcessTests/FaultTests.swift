import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// What failing system calls cost the daemon, its peers and the command line.
@Suite("hostcalld and failing system calls")
struct FaultTests {
  /// Calls through a worker, in frames that take several reads and writes; every one has its own answer.
  private func exchange(_ daemon: DaemonProcess, calls: UInt64) throws {
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("work")
    let caller = try RawPeer(daemon.socketPath)
    for request in 1...calls {
      let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: request), count: 1 + Int(request % 7) * 3_000)
      try caller.call("work", request: request, payload: payload)
      let invoke = try worker.expect(.invoke)
      #expect(invoke.payload == payload)
      try worker.complete(invoke.header.id, payload: invoke.payload)
      let result = try caller.expect(.result)
      #expect(result.header.id == request && result.header.status == .ok && result.payload == payload)
    }
  }

  @Test(arguments: FaultPlan.passing)
  func aFaultThatPassesCostsNoConnectionAndNoCall(_ fault: String) throws {
    let daemon = try DaemonProcess(faults: FaultPlan(seed: 1, rates: [fault: 2_000]))
    if fault.hasPrefix("accept") {
      for _ in 1...12 { try RawPeer(daemon.socketPath).barrier() }
    }
    try exchange(daemon, calls: 40)
    #expect(daemon.stop() == 0)
    #expect(daemon.faultCounts()[fault] ?? 0 > 0)
  }

  @Test func aClockThatIsSetChangesNoDeadline() throws {
    let jumps = FaultPlan(seed: 3, rates: ["clock-jump": 10_000])
    let daemon = try DaemonProcess(faults: jumps)
    try exchange(daemon, calls: 10)
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("hang")
    let caller = try RawPeer(daemon.socketPath)
    let start = MonotonicTime.nanoseconds()
    try caller.call("hang", request: 1, timeoutMilliseconds: 300)
    #expect(try caller.expect(.result).header.status == .timeout)
    let milliseconds = (MonotonicTime.nanoseconds() - start) / 1_000_000
    #expect(milliseconds >= 300 && milliseconds < 15_000)
    #expect(daemon.stop() == 0)
    // The clock does jump for whoever asks it for the time of day. With a sanitizer in what is preloaded, other
    // programs than this package's do not start.
    func date(_ rates: [String: Int]) throws -> DaemonProcess.Outcome {
      let plan = FaultPlan(seed: .random(in: 0 ... .max), rates: rates)
      return try daemon.run("/bin/date", ["+%Y"], environment: plan.environment())
    }
    let without = try date([:])
    guard without.status == 0 else {
      #expect(without.errors.lowercased().contains("san"))
      return
    }
    let years = try (1...8).map { _ in try date(jumps.rates).text }
    #expect(Set(years).count > 1)
  }

  @Test func theCommandLineGetsByWithFaultsThatPass() throws {
    let daemon = try DaemonProcess()
    let rates = Dictionary(uniqueKeysWithValues: FaultPlan.passing.map { ($0, 1_500) })
    let text = String(repeating: "much ", count: 20_000)
    for seed in 1...5 as ClosedRange<UInt64> {
      let plan = FaultPlan(seed: seed, rates: rates.filter { !$0.key.hasPrefix("accept") })
      let outcome = try daemon.run("hostcall", ["call", "hostcall.echo", text], environment: plan.environment())
      #expect(outcome.status == 0 && outcome.text.hasPrefix(text), "\(outcome.errors)")
    }
  }

  @Test func connectionsThatAreResetEndAloneAndTheDaemonGoesOn() throws {
    let rates = ["recv-econnreset": 500, "send-econnreset": 500]
    let daemon = try DaemonProcess(faults: FaultPlan(seed: 2, rates: rates))
    var ended = 0
    for _ in 1...60 {
      // The greeting, too, may meet a fault.
      do {
        let peer = try RawPeer(daemon.socketPath)
        for request in 1...3 as ClosedRange<UInt64> {
          try peer.call("hostcall.echo", request: request, payload: [7])
          let result = try peer.expect(.result)
          #expect(result.header.id == request && result.payload == [7])
        }
      } catch {
        ended += 1
      }
    }
    #expect(ended > 0)
    #expect(daemon.stop() == 0)
    let counts = daemon.faultCounts()
    for fault in rates.keys { #expect(counts[fault] ?? 0 > 0) }
  }
}
