import HostcallWire
import Testing

@testable import hostcall

@Suite("Reports as text")
struct ReportTextTests {
  private let unused = LatencyReport(
    count: 0, meanMicroseconds: 0, p50Microseconds: 0, p99Microseconds: 0, maximumMicroseconds: 0)

  @Test func functions() {
    let used = LatencyReport(
      count: 3, meanMicroseconds: 1_250, p50Microseconds: 900, p99Microseconds: 2_000_000, maximumMicroseconds: 61e6)
    let text = FunctionsCommand.text([
      FunctionReport(
        name: "token.fetch", workers: 2, concurrency: 128, running: 1, queued: 0, calls: 3, failures: 1, latency: used),
      FunctionReport(
        name: "x", workers: 0, concurrency: 0, running: 0, queued: 12, calls: 0, failures: 0, latency: unused),
    ])
    #expect(
      text == """
        FUNCTION     WORKERS  CONCURRENCY  RUNNING  QUEUED  CALLS  FAILED    MEAN     P50  P99  SLOWEST
        token.fetch        2          128        1       0      3       1  1.3 ms  900 µs  2 s   1m 01s
        x                  0            0        0      12      0       0       -       -    -        -

        """)
    #expect(FunctionsCommand.text([]) == "nobody has registered a function\n")
  }

  @Test func callsWithoutTheOneThatAsks() {
    func call(_ function: String, worker: UInt64?, left: UInt64?) -> CallReport {
      CallReport(
        correlationID: 4_294_967_301, function: function, state: "queued", caller: 3, worker: worker,
        ageMilliseconds: 1_500, leftMilliseconds: left, attempts: 1)
    }
    #expect(CallsCommand.text([]) == "no calls are in flight\n")
    #expect(CallsCommand.text([call("hostcall.calls", worker: 1, left: 1)]) == "no calls are in flight\n")
    #expect(
      CallsCommand.text([call("slow", worker: nil, left: nil), call("slow", worker: 17, left: 28_500)]) == """
              CALL  FUNCTION  STATE   CALLER  WORKER    AGE  LEFT  ATTEMPTS
        4294967301  slow      queued       3       -  1.5 s     -         1
        4294967301  slow      queued       3      17  1.5 s  29 s         1

        """)
  }

  @Test func peers() {
    let peer = PeerReport(
      session: 12, client: "worker/1.0", userID: 1_000, groupID: 1_000, processID: 4_711, connectedSeconds: 3_720,
      functions: 2, subscriptions: 3, callsInFlight: 0, running: 5, abandoned: 2, silentSeconds: 0.002, state: "open")
    #expect(
      PeersCommand.text([peer]) == """
        SESSION  CLIENT       PID   UID  CONNECTED  FUNCTIONS  EVENTS  CALLING  RUNNING  STUCK  SILENT  STATE
             12  worker/1.0  4711  1000     1h 02m          2       3        0        5      2    2 ms  open

        """)
  }

  @Test func infoSaysLimitsInTheirUnits() {
    let info = InfoReport(
      server: "hostcalld/0.1.0", version: "0.1.0", instance: "00ff", processID: 7, uptimeSeconds: 90,
      protocolVersion: 1,
      limits: ["frame-bytes": 16 << 20, "timeout-milliseconds": 3_600_000, "connections": 10_000])
    #expect(
      InfoCommand.text(info, socketPath: "/run/s") == """
        DAEMON    hostcalld/0.1.0
        version   0.1.0
        socket    /run/s
        pid       7
        uptime    1m 30s
        instance  00ff
        protocol  1

        LIMIT                  VALUE
        connections            10000
        frame-bytes           16 MiB
        timeout-milliseconds  1h 00m

        """)
  }

  @Test func statsShowOutcomesMostFrequentFirst() {
    var stats = StatsReport()
    #expect(!StatsCommand.text(stats).contains("OUTCOME"))
    stats.outcomes = ["TIMEOUT": 2, "OK": 17, "FAILED": 2]
    stats.storedPayloadBytes = 2_048
    stats.policyDenials = 12
    let text = StatsCommand.text(stats)
    #expect(text.hasSuffix("\nOUTCOME  CALLS\nOK          17\nFAILED       2\nTIMEOUT      2\n"))
    #expect(text.contains("stored payloads   2 KiB\n"))
    #expect(text.contains("denied by policy            12\n"))
  }

  @Test func pingSumsUp() {
    #expect(
      PingCommand.summary([.microseconds(30), .microseconds(90), .microseconds(60)])
        == "3 answers: fastest 30 µs, mean 60 µs, slowest 90 µs")
  }
}
