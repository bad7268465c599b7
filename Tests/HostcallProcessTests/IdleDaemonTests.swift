import Glibc
import HostcallTestSupport
import HostcallWire
import Testing

/// A daemon that has nothing to do costs nothing.
@Suite("hostcalld at rest") struct IdleDaemonTests {
  /// The pool of threads that Swift's tasks run on by default wakes once a second, for ever: nothing may have started it.
  @Test func itHasNoThreadsButItsOwn() throws {
    let daemon = try DaemonProcess(configuration: "")
    let peer = try RawPeer(daemon.socketPath)
    try peer.call("hostcall.stats", request: 1)
    _ = try peer.expect(.result)
    kill(daemon.processID, SIGHUP)
    try eventually("the configuration is read again") { daemon.standardError().contains("configuration reloaded") }
    let names = Self.threadNames(of: daemon.processID)
    // A sanitizer may have one of its own, and valgrind gives the first one its name.
    #expect(names.isSuperset(of: ["hostcall", "log"]), "\(names)")
    #expect(!names.contains { $0.contains("qos") }, "\(names)")
    #expect(daemon.stop() == 0)
  }

  private static func threadNames(of process: Int32) -> Set<String> {
    var names: Set<String> = []
    guard let folder = opendir("/proc/\(process)/task") else { return names }
    defer { closedir(folder) }
    while let entry = readdir(folder) {
      let number = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      let name = Files.read("/proc/\(process)/task/\(number)/comm")
      if !name.isEmpty { names.insert(String(decoding: name.dropLast(), as: UTF8.self)) }
    }
    return names
  }
}
