import Glibc

/// An open file without a name, and how many descriptors of this process mean it.
package final class UnnamedFile: Sendable {
  package let descriptor: Int32
  /// What `/proc` calls it, and no other file.
  private let link: String

  package init(_ text: String = "") {
    var path = Array("/tmp/hostcall-test-XXXXXX".utf8CString)
    descriptor = mkstemp(&path)
    precondition(descriptor >= 0, "no temporary file can be made: errno \(errno)")
    unlink(path)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    let bytes = Array(text.utf8)
    precondition(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count)
    link = Self.link(of: descriptor)
  }

  deinit {
    close(descriptor)
  }

  /// How many descriptors of this process mean the file, its own among them.
  package var openCount: Int {
    guard let folder = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(folder) }
    var count = 0
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if let number = Int32(name), Self.link(of: number) == link { count += 1 }
    }
    return count
  }

  /// Waits until nobody in this process but this object has it open: closing takes a moment.
  package func isAlone() async -> Bool {
    let end = ContinuousClock.now + .seconds(30)
    while openCount > 1 {
      if ContinuousClock.now > end { return false }
      await Task.yield()
    }
    return true
  }

  /// Everything in an open file, from its beginning.
  package static func text(of descriptor: Int32) -> String {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }

  private static func link(of descriptor: Int32) -> String {
    var target = [UInt8](repeating: 0, count: 256)
    let count = target.withUnsafeMutableBytes { buffer in
      readlink("/proc/self/fd/\(descriptor)", buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
    }
    return String(decoding: target.prefix(max(0, count)), as: UTF8.self)
  }
}
