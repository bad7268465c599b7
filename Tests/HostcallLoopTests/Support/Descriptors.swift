import Glibc
import HostcallTestSupport

/// How many descriptors this process has open.
func openDescriptorCount() -> Int {
  entryCount("/proc/self/fd")
}

/// How many threads this process has.
func threadCount() -> Int {
  entryCount("/proc/self/task")
}

private func entryCount(_ path: String) -> Int {
  guard let directory = opendir(path) else { return -1 }
  defer { closedir(directory) }
  var count = 0
  while readdir(directory) != nil { count += 1 }
  return count
}

/// A path for a socket that no other test uses.
func temporarySocketPath() -> String {
  "/tmp/hostcall-loop-test-\(getpid())-\(UInt64.random(in: 0 ... .max)).sock"
}

/// Sends bytes the plain way; -1 leaves the reason in `errno`.
func sendPlainly(_ descriptor: Int32, _ bytes: [UInt8]) -> Int {
  send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
}

/// Reads the plain way, without waiting, until nothing is there; nil once the end or an error was met.
func receivePlainly(_ descriptor: Int32) -> Int? {
  var total = 0
  var bytes = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    if count > 0 {
      total += count
    } else if count < 0, errno == EAGAIN {
      return total
    } else {
      return nil
    }
  }
}

/// Sends one byte with copies of a descriptor.
func send(_ descriptor: Int32, copies count: Int, of passed: Int32, flags: Int32 = 0) -> Int {
  SocketMessage.send(descriptor, [7], descriptors: Array(repeating: passed, count: count), flags: flags)
}

/// Whether `condition` holds at some time within ten seconds.
///
/// For what follows from the closing of a descriptor: while another test starts a process, between its fork and its
/// exec, that process holds copies of ours.
func eventually(_ condition: () -> Bool) async -> Bool {
  let end = ContinuousClock.now + .seconds(10)
  while ContinuousClock.now < end {
    if condition() { return true }
    await Task.yield()
  }
  return condition()
}
