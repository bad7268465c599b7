import Foundation
import HostcallTestSupport
import HostcallWire

/// A daemon that can be looked at from outside.
protocol ObservedDaemon {
  var socketPath: String { get }
  var processID: Int32 { get }
}

extension DaemonProcess: ObservedDaemon {}
extension SoakDaemon: ObservedDaemon {}

/// What a daemon holds.
struct DaemonCondition {
  private(set) var stats: StatsReport
  private(set) var descriptors: Int
  private(set) var residentKilobytes: Int

  /// Asks the daemon, again where a fault has taken the connection.
  init(of daemon: some ObservedDaemon) throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
      do {
        let peer = try RawPeer(daemon.socketPath)
        try peer.call("hostcall.stats", request: 1)
        stats = try JSONDecoder().decode(StatsReport.self, from: Data(peer.expect(.result).payload))
        descriptors = Files.count(in: "/proc/\(daemon.processID)/fd")
        residentKilobytes = Self.residentKilobytes(daemon.processID)
        return
      } catch {
        guard ContinuousClock.now < deadline else { throw error }
      }
    }
  }

  /// Looks again until the daemon holds no more than it did then, or for a while.
  func awaitReturn(of daemon: some ObservedDaemon) throws -> DaemonCondition {
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
      let condition = try DaemonCondition(of: daemon)
      if condition.difference(from: self) == nil || ContinuousClock.now > deadline { return condition }
      usleep(20_000)
    }
  }

  /// What it holds now and did not then.
  func difference(from start: DaemonCondition) -> String? {
    let pairs: [(String, Int, Int)] = [
      ("calls in flight", stats.callsInFlight, start.stats.callsInFlight),
      ("calls queued", stats.callsQueued, start.stats.callsQueued),
      ("streams", stats.streams, start.stats.streams),
      ("peers", stats.peers, start.stats.peers),
      ("functions", stats.functions, start.stats.functions),
      ("bytes of payload", stats.storedPayloadBytes, start.stats.storedPayloadBytes),
      ("descriptors", descriptors, start.descriptors),
    ]
    let different = pairs.filter { $0.1 != $0.2 }.map { "\($0.0) \($0.1), at the start \($0.2)" }
    return different.isEmpty ? nil : different.joined(separator: "; ")
  }

  private static func residentKilobytes(_ process: Int32) -> Int {
    let text = String(decoding: Files.read("/proc/\(process)/status"), as: UTF8.self)
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }) else { return 0 }
    return Int(line.split(whereSeparator: { $0 == " " || $0 == "\t" })[1]) ?? 0
  }
}
