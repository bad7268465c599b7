import Glibc

/// Descriptors in the control data of a message (`SCM_RIGHTS`), read and written.
///
/// The macros of `<sys/socket.h>` cannot be used from Swift; this does what they do.
package enum ControlMessage {
  /// `struct cmsghdr`: a length of 8 bytes that counts itself, and a level and a type of 4 bytes each.
  private static let headerByteCount = MemoryLayout<cmsghdr>.size
  private static let numberByteCount = MemoryLayout<Int32>.size

  /// Memory in which the control data of any one message fits whole, so that the kernel cuts it short only when this
  /// process can have no more descriptors. One for all reads of a loop: it is too large for the stack.
  package final class Room {
    package let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: byteCount(forDescriptors: PassedDescriptors.maximumCount), alignment: MemoryLayout<cmsghdr>.alignment)

    package init() {}

    deinit {
      bytes.deallocate()
    }
  }

  /// Gives `body` the control data that passes these descriptors, at most `PassedDescriptors.maximumCount`.
  package static func with<Result>(_ numbers: [Int32], _ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
    withUnsafeTemporaryAllocation(
      byteCount: byteCount(forDescriptors: numbers.count), alignment: MemoryLayout<cmsghdr>.alignment
    ) { control in
      // An odd number of descriptors leaves a gap at the end, which the kernel reads as well.
      control.initializeMemory(as: UInt8.self, repeating: 0)
      var header = cmsghdr()
      header.cmsg_len = headerByteCount + numbers.count * numberByteCount
      header.cmsg_level = SOL_SOCKET
      header.cmsg_type = Int32(SCM_RIGHTS)
      control.storeBytes(of: header, as: cmsghdr.self)
      for (index, number) in numbers.enumerated() {
        control.storeBytes(of: number, toByteOffset: headerByteCount + index * numberByteCount, as: Int32.self)
      }
      return body(control)
    }
  }

  /// Every descriptor in `control`, which is what the kernel has filled; they belong to this process.
  package static func descriptors(in control: UnsafeRawBufferPointer) -> [Int32] {
    var numbers: [Int32] = []
    var offset = 0
    while offset + headerByteCount <= control.count {
      let header = control.loadUnaligned(fromByteOffset: offset, as: cmsghdr.self)
      let end = min(offset + Int(header.cmsg_len), control.count)
      guard end >= offset + headerByteCount else { break }
      if header.cmsg_level == SOL_SOCKET, header.cmsg_type == Int32(SCM_RIGHTS) {
        var next = offset + headerByteCount
        while next + numberByteCount <= end {
          numbers.append(control.loadUnaligned(fromByteOffset: next, as: Int32.self))
          next += numberByteCount
        }
      }
      offset = aligned(end)
    }
    return numbers
  }

  private static func byteCount(forDescriptors count: Int) -> Int {
    aligned(headerByteCount + count * numberByteCount)
  }

  private static func aligned(_ byteCount: Int) -> Int {
    let alignment = MemoryLayout<Int>.size
    return (byteCount + alignment - 1) / alignment * alignment
  }
}
