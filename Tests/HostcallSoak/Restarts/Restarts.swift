import Foundation
import Glibc
import HostcallLoop
import HostcallTestSupport

/// Restarts a daemon again and again while callers keep calls in flight, streams run and events are published. Everything
/// has to arrive once and in order, over the connections that were there at the start.
package final class Restarts {
  package struct Options: Sendable {
    package var restarts = 100
    /// Calls in flight, over all callers.
    package var callsInFlight = 1_000
    /// Answers between one restart and the next.
    package var answersBetween = 5_000
    package var program = FakeService.hostcalld
    package var progress: @Sendable (String) -> Void = { _ in }

    package init() {}
  }

  private static let callerCount = 4
  /// How long the answers between two restarts, and the last calls, may take.
  private static let mostSeconds: UInt64 = 60

  /// What the two threads tell each other.
  private struct Exchange {
    var answers = 0
    var restarts = 0
    var isOver = false
    var failure: String?
  }

  private let options: Options
  private let service: FakeService
  private let exchange = HeapCondition(Exchange())
  private let callers: [LoadCaller]
  private let streams: LoadStreamCaller
  private let publisher: LoadPublisher
  private let peers: [LoadPeer]
  private var daemon: ChildProcess

  package init(_ options: Options) throws {
    self.options = options
    service = try FakeService(["s"], program: options.program)
    daemon = try service.start()
    let path = service.folder.file("s")
    let depth = options.callsInFlight / Self.callerCount
    callers = try (0..<Self.callerCount).map { try LoadCaller("caller \($0)", path, depth: depth) }
    streams = try LoadStreamCaller("caller of items", path)
    publisher = try LoadPublisher("publisher", path)
    peers =
      try (0..<4).map { try LoadWorker("worker \($0)", path) } + [LoadStreamWorker("worker of items", path)] + callers
      + [streams, publisher]
  }

  package func run() throws -> RestartReport {
    // Handed over to that thread, and back at its end.
    nonisolated(unsafe) let this = self
    let restarter = try SystemThread(named: "restarter") { this.restartAgainAndAgain() }
    var end: UInt64 = .max
    var now = MonotonicTime.nanoseconds()
    while !exchange.current.isOver || !peers.allSatisfy({ $0.isIdle }) {
      let isOver = exchange.current.isOver
      if isOver, end == .max { end = now + Self.mostSeconds * 1_000_000_000 }
      guard try turn(isOver: isOver), now < end else { break }
      now = MonotonicTime.nanoseconds()
      let answers = callers.reduce(0) { $0 + $1.nanoseconds.count }
      exchange.change { exchange in
        exchange.answers = answers
        return true
      }
    }
    finish(failure: nil)
    restarter.join()
    return try report()
  }

  private func turn(isOver: Bool) throws -> Bool {
    var polled = peers.map { peer in
      pollfd(
        fd: peer.connection.descriptor, events: Int16(POLLIN | (peer.connection.queuedBytes > 0 ? POLLOUT : 0)),
        revents: 0)
    }
    guard poll(&polled, nfds_t(polled.count), 5) >= 0 || errno == EINTR else {
      throw SoakFailure("poll failed with \(errno)")
    }
    let now = MonotonicTime.nanoseconds()
    for (index, peer) in peers.enumerated() {
      if polled[index].revents & ~Int16(POLLOUT) != 0, !peer.receive(now: now) { return false }
      peer.step(now: now, isOver: isOver)
      if !peer.connection.flush() {
        peer.violated("its connection takes nothing any more")
        return false
      }
    }
    return true
  }

  private func restartAgainAndAgain() {
    var answersWanted = options.answersBetween
    for number in 1...options.restarts {
      let wanted = answersWanted
      let haveCome = exchange.wait(milliseconds: Int(Self.mostSeconds) * 1_000) { $0.isOver || $0.answers >= wanted }
      guard haveCome else { return finish(failure: "\(wanted) answers have not come within \(Self.mostSeconds) s") }
      if exchange.current.isOver { return }
      do {
        let (next, status) = try service.restart(daemon)
        daemon = next
        guard status == FakeService.handedOver, next.isRunning else {
          throw SoakFailure("hostcalld ended with \(status)")
        }
      } catch {
        return finish(failure: "\(error)")
      }
      exchange.change { exchange in
        exchange.restarts = number
        return false
      }
      answersWanted = exchange.current.answers + options.answersBetween
      if number.isMultiple(of: 10) { options.progress("\(number) of \(options.restarts)") }
    }
    finish(failure: nil)
  }

  private func finish(failure: String?) {
    exchange.change { exchange in
      exchange.isOver = true
      if let failure { exchange.failure = failure }
      return true
    }
  }

  private func report() throws -> RestartReport {
    var violations = peers.flatMap(\.violations)
    let exchange = exchange.current
    if let failure = exchange.failure { violations.append(failure) }
    violations += peers.filter { !$0.isIdle }.map { "\($0) has something that has not ended" }
    for peer in peers { peer.connection.close() }
    let status = daemon.stop()
    if status != 0 { violations.append("hostcalld ended with \(status)") }
    if !violations.isEmpty { violations.append(service.log()) }
    return RestartReport(
      restarts: exchange.restarts, calls: Latencies(callers.flatMap(\.nanoseconds)), items: streams.items,
      events: Int(publisher.received),
      longestGapMicroseconds: Double(callers.map(\.longestGap).max() ?? 0) / 1_000,
      gaps: Latencies(gaps().map { $0 * 1_000 }), violations: violations)
  }

  /// How long each process took from the last look of the one before it, in microseconds, as its log says.
  private func gaps() -> [UInt64] {
    service.log().split(separator: "\n").compactMap { line in
      line.split(separator: " ").first { $0.hasPrefix("gap-us=") }.flatMap { UInt64($0.dropFirst(7)) }
    }
  }
}

/// What restarts under load have come to.
package struct RestartReport: Sendable, CustomStringConvertible {
  package let restarts: Int
  /// How long calls took.
  package let calls: Latencies
  /// Of streams.
  package let items: Int
  package let events: Int
  /// The longest time in which a caller with calls in flight got no answer.
  package let longestGapMicroseconds: Double
  /// From when one process stopped to look at its connections until the next had taken them over.
  package let gaps: Latencies
  package let violations: [String]

  package var description: String {
    func figure(_ microseconds: Double) -> String { String(format: "%.1f ms", microseconds / 1_000) }
    let lines =
      [
        "\(restarts) restarts: \(calls.count) calls answered once, \(items) items, \(events) events in order",
        "calls: p50 \(figure(calls.median)), p99 \(figure(calls.p99)), p99.9 \(figure(calls.microseconds(perThousand: 999)))",
        "longest time without an answer \(figure(longestGapMicroseconds)); "
          + "between two processes p50 \(figure(gaps.median)), longest \(figure(gaps.microseconds(perThousand: 1_000)))",
      ] + violations.map { "WRONG: \($0)" }
    return lines.joined(separator: "\n")
  }
}
