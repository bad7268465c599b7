import Glibc

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
  let header = MemoryLayout<cmsghdr>.size
  let length = header + count * 4
  var control = [UInt8](repeating: 0, count: (length + 7) / 8 * 8)
  var byte: UInt8 = 7
  return control.withUnsafeMutableBytes { control in
    withUnsafeMutableBytes(of: &byte) { byte in
      control.storeBytes(of: length, as: Int.self)
      control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
      control.storeBytes(of: Int32(SCM_RIGHTS), toByteOffset: 12, as: Int32.self)
      for index in 0..<count { control.storeBytes(of: passed, toByteOffset: header + index * 4, as: Int32.self) }
      var piece = iovec(iov_base: byte.baseAddress, iov_len: 1)
      return withUnsafeMutablePointer(to: &piece) { piece in
        var message = msghdr()
        message.msg_iov = piece
        message.msg_iovlen = 1
        message.msg_control = control.baseAddress
        message.msg_controllen = control.count
        return sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL) | flags)
      }
    }
  }
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
