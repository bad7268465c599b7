import Glibc

/// Files without a name that tell themselves apart by a number, for tests that pass descriptors.
enum TaggedFile {
  /// Opens a new one, which is the caller's.
  static func open(_ tag: UInt64) -> Int32 {
    var path = Array("/tmp/hostcall-test-XXXXXX".utf8CString)
    let descriptor = mkstemp(&path)
    precondition(descriptor >= 0, "no temporary file can be made: errno \(errno)")
    unlink(path)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    var tag = tag
    precondition(pwrite(descriptor, &tag, 8, 0) == 8)
    return descriptor
  }

  /// The number of an open one; nil for anything else.
  static func tag(of descriptor: Int32) -> UInt64? {
    var tag: UInt64 = 0
    return pread(descriptor, &tag, 8, 0) == 8 ? tag : nil
  }
}

/// Whether this number is open in this process, and closed on exec.
func isOpenAndClosedOnExec(_ descriptor: Int32) -> Bool {
  let flags = fcntl(descriptor, F_GETFD)
  return flags >= 0 && flags & FD_CLOEXEC != 0
}

/// Runs `body` while this process can open exactly so many more descriptors.
///
/// For a test in a process of its own: the limit is the whole process's, and much else traps when it meets it.
func withDescriptorsLeft<Result>(_ count: Int, _ body: () throws -> Result) rethrows -> Result {
  var before = rlimit()
  getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &before)
  let highest = dup(STDERR_FILENO)
  close(highest)
  var limit = before
  limit.rlim_cur = rlim_t(highest) + 64
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  var filling: [Int32] = []
  while true {
    let descriptor = dup(STDERR_FILENO)
    if descriptor < 0 { break }
    filling.append(descriptor)
  }
  for _ in 0..<count { close(filling.removeLast()) }
  defer {
    for descriptor in filling { close(descriptor) }
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &before)
  }
  return try body()
}
