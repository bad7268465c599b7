import Glibc
import HostcallTestSupport
import Testing

@testable import HostcallLoop

/// What the journal is given, and how.
@Suite("JournalRecord") struct JournalRecordTests {
  @Test func eachThingThatIsToldIsAField() {
    let bytes = JournalRecord.encode(
      priority: 4, line: "limit met uid=7", event: "limit met",
      fields: [("call", "12"), ("uid", "7"), ("worker-pid", "9"), ("grace-ms", "5")])
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    #expect(
      lines == [
        "MESSAGE=limit met uid=7", "PRIORITY=4", "SYSLOG_IDENTIFIER=hostcalld", "HOSTCALL_EVENT=limit met",
        "HOSTCALL_CALL=12", "HOSTCALL_PEER_UID=7", "HOSTCALL_WORKER_PID=9", "HOSTCALL_GRACE_MS=5",
      ])
  }

  @Test func aNewLineBeginsNoField() {
    let bytes = JournalRecord.encode(priority: 6, line: "x", event: "e", fields: [("reason", "a\nPRIORITY=0")])
    let size: [UInt8] = [12, 0, 0, 0, 0, 0, 0, 0]
    let expected = Array("HOSTCALL_REASON\n".utf8) + size + Array("a\nPRIORITY=0\n".utf8)
    #expect(Array(bytes.suffix(expected.count)) == expected)
  }

  @Test func namesAreThoseOfFields() {
    #expect(JournalRecord.name(of: "unit") == "HOSTCALL_PEER_UNIT")
    #expect(JournalRecord.name(of: "é b") == "HOSTCALL___B")
  }

  @Test func theJournalIsKnownByWhatTheManagerSays() throws {
    let folder = TemporaryFolder()
    let descriptor = open(folder.file("log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    defer { close(descriptor) }
    var status = stat()
    #expect(fstat(descriptor, &status) == 0)
    #expect(JournalRecord.isJournal(descriptor, stream: "\(status.st_dev):\(status.st_ino)"))
    #expect(!JournalRecord.isJournal(descriptor, stream: "\(status.st_dev):\(status.st_ino + 1)"))
    #expect(!JournalRecord.isJournal(descriptor, stream: nil))
  }

  @Test(.timeLimit(.minutes(1))) func aJournalThatIsStartedAnewGetsRecordsAgain() throws {
    let folder = TemporaryFolder()
    let path = folder.file("journal")
    let writer = try LineWriter(journal: path, queuedRecords: 100) { Array("\($0) lost".utf8) }
    // Nobody is there.
    for _ in 1...3 { writer.append(record: Array("gone".utf8)) }
    var socket: FakeServiceManager? = FakeServiceManager(at: path)
    writer.append(record: Array("KEY=here".utf8))
    // How many of the three were tried before it was there is a matter of time; none is told twice.
    var told: [String: String] = [:]
    while told["KEY"] == nil { told = try #require(try socket?.next()) }
    socket = nil
    writer.append(record: Array("gone".utf8))
    socket = FakeServiceManager(at: path)
    writer.append(record: Array("KEY=again".utf8))
    told = [:]
    while told["KEY"] == nil { told = try #require(try socket?.next()) }
    #expect(told["KEY"] == "again")
    #expect(writer.finish(withinMilliseconds: 20_000))
  }

  @Test func theUnitIsTheInnermost() {
    #expect(SystemUnit.name(inGroups: "0::/system.slice/cron.service\n") == "cron.service")
    #expect(
      SystemUnit.name(inGroups: "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service/x\n")
        == "a.service")
    #expect(SystemUnit.name(inGroups: "0::/user.slice/user-0.slice/session-3.scope\n") == "session-3.scope")
    #expect(SystemUnit.name(inGroups: "0::/\n") == nil)
    #expect(SystemUnit.name(inGroups: "2:cpu:/x.service\n1:name=systemd:/system.slice/b.service\n") == "b.service")
  }
}
