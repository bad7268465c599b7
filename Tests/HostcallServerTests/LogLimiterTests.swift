import Glibc
import HostcallTestSupport
import HostcallWire
import Testing

@testable import HostcallServer

@Suite("What one user can cause does not fill the log")
struct LogLimiterTests {
  private let some = LogLimiter.Key(userID: 1, what: "connections")
  private var limiter = LogLimiter(intervalMilliseconds: 1_000)

  @Test mutating func oneLineGetsThroughInAnIntervalAndCountsTheOthers() {
    #expect(limiter.admit(some, nowMilliseconds: 5_000) == 0)
    for _ in 0..<3 { #expect(limiter.admit(some, nowMilliseconds: 5_999) == nil) }
    #expect(limiter.admit(some, nowMilliseconds: 6_000) == 3)
    #expect(limiter.admit(some, nowMilliseconds: 6_001) == nil)
    #expect(limiter.admit(some, nowMilliseconds: 9_000) == 1)
    #expect(limiter.admit(some, nowMilliseconds: 10_000) == 0)
  }

  @Test mutating func usersAndMattersAreToldApart() {
    for key in [some, .init(userID: 2, what: "connections"), .init(userID: 1, what: "calls")] {
      #expect(limiter.admit(key, nowMilliseconds: 0) == 0)
      #expect(limiter.admit(key, nowMilliseconds: 1) == nil)
    }
  }

  @Test mutating func whatWasHeldBackIsToldWhenItsTimeIsOver() {
    #expect(limiter.admit(some, nowMilliseconds: 0) == 0)
    #expect(limiter.nextMilliseconds == nil)
    for _ in 0..<2 { #expect(limiter.admit(some, nowMilliseconds: 10) == nil) }
    #expect(limiter.nextMilliseconds == 1_000)
    #expect(limiter.takeSuppressed(nowMilliseconds: 999) == [])
    #expect(limiter.takeSuppressed(nowMilliseconds: 1_000) == [.init(key: some, lines: 2)])
    // That was the line of the next interval.
    #expect(limiter.admit(some, nowMilliseconds: 1_500) == nil)
    #expect(limiter.takeSuppressed(nowMilliseconds: 2_000) == [.init(key: some, lines: 1)])
    #expect(limiter.takeSuppressed(nowMilliseconds: 3_000) == [] && limiter.nextMilliseconds == nil)
    #expect(limiter.admit(some, nowMilliseconds: 3_001) == 0)
  }

  @Test mutating func manyUsersAreCountedTogetherAndForgotten() {
    for user in 0..<UInt32(LogLimiter.mostKeys) {
      #expect(limiter.admit(.init(userID: user, what: "x"), nowMilliseconds: 0) == 0)
    }
    #expect(limiter.admit(.init(userID: 1_000_000, what: "x"), nowMilliseconds: 1) == 0)
    #expect(limiter.admit(.init(userID: 1_000_001, what: "x"), nowMilliseconds: 1) == nil)
    #expect(limiter.takeSuppressed(nowMilliseconds: 1_001) == [.init(key: nil, lines: 1)])
    for user in 2_000_000..<UInt32(2_000_100) {
      #expect(limiter.admit(.init(userID: user, what: "x"), nowMilliseconds: 1_002) == 0)
    }
  }

  @Test func noIntervalLimitsNothing() {
    var limiter = LogLimiter(intervalMilliseconds: 0)
    for _ in 0..<3 { #expect(limiter.admit(some, nowMilliseconds: 0) == 0) }
    #expect(limiter.nextMilliseconds == nil)
  }

  @Test mutating func atTheEndEverythingIsTold() {
    for _ in 0..<3 { _ = limiter.admit(some, nowMilliseconds: 0) }
    #expect(limiter.takeAllSuppressed() == [.init(key: some, lines: 2)])
    #expect(limiter.takeAllSuppressed() == [] && limiter.nextMilliseconds == nil)
  }

  @Test func peersThatAreRefusedMakeOneLineAndThenTheirNumber() async throws {
    let (events, continuation) = AsyncStream.makeStream(of: ServerEvent.self)
    let test = try await TestServer { configuration in
      configuration.limits.connections = 1
      configuration.limits.logRepeatMilliseconds = 200
      configuration.onEvent = { continuation.yield($0) }
    }
    let first = try RawPeer(test.socketPath)
    for _ in 0..<50 {
      let refused = try RawPeer(test.socketPath, hello: false)
      #expect(try refused.expect(.goaway).header.status == .overloaded)
    }
    try first.barrier()
    var lines = 0
    var suppressed = 0
    for await event in events where event.level == .warning {
      let fields = Dictionary(uniqueKeysWithValues: event.fields)
      lines += event.message == "connection refused" ? 1 : 0
      suppressed += Int(fields["suppressed"] ?? "0") ?? 0
      if event.message == "log lines suppressed" {
        #expect(fields["uid"] == "\(getuid())" && fields["about"] == "connections")
      }
      if lines + suppressed == 50 { break }
    }
    #expect(lines >= 1 && suppressed >= 1)
    await test.server.shutdownNow()
  }
}
