import Glibc

/// Descriptors in the control data of a message: who receives a message owns them, wanted or not.
enum ReceivedDescriptors {
  /// The kernel's limit on descriptors in one message, `SCM_MAX_FD`.
  static let maximumCount = 253
  /// `struct cmsghdr`: a length of 8 bytes that counts itself, and a level and a type of 4 bytes each.
  private static let headerByteCount = MemoryLayout<cmsghdr>.size
  private static let roomByteCount = aligned(headerByteCount + maximumCount * MemoryLayout<Int32>.size)

  /// Gives `body` memory in which the control data of one message fits whole.
  static func withControlRoom<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
    withUnsafeTemporaryAllocation(byteCount: roomByteCount, alignment: MemoryLayout<cmsghdr>.alignment, body)
  }

  /// Closes every descriptor in `control`, which is what the kernel has filled.
  static func closeAll(in control: UnsafeRawBufferPointer) {
    // The macros of `<sys/socket.h>` cannot be used from Swift; this is what they do.
    var offset = 0
    while offset + headerByteCount <= control.count {
      let header = control.loadUnaligned(fromByteOffset: offset, as: cmsghdr.self)
      let end = min(offset + Int(header.cmsg_len), control.count)
      guard end >= offset + headerByteCount else { return }
      if header.cmsg_level == SOL_SOCKET, header.cmsg_type == Int32(SCM_RIGHTS) {
        var next = offset + headerByteCount
        while next + MemoryLayout<Int32>.size <= end {
          Glibc.close(control.loadUnaligned(fromByteOffset: next, as: Int32.self))
          next += MemoryLayout<Int32>.size
        }
      }
      offset = aligned(end)
    }
  }

  private static func aligned(_ byteCount: Int) -> Int {
    let alignment = MemoryLayout<Int>.size
    return (byteCount + alignment - 1) / alignment * alignment
  }
}
