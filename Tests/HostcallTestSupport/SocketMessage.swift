import Glibc

/// One message of a socket, with open files beside its bytes.
///
/// It is made and read by hand: what is tested has code of its own for that, which this is not to trust.
package enum SocketMessage {
  private static let headBytes = MemoryLayout<cmsghdr>.size
  /// Room for more files than the kernel passes at once.
  private static let roomBytes = 1_040

  /// Sends bytes, and open files with the first of them, which stay the caller's. Gives back what `sendmsg` does.
  package static func send(_ socket: Int32, _ bytes: [UInt8], descriptors: [Int32], flags: Int32 = 0) -> Int {
    var bytes = bytes
    var control = [UInt8](repeating: 0, count: (headBytes + descriptors.count * 4 + 7) / 8 * 8)
    control.withUnsafeMutableBytes { control in
      var head = cmsghdr()
      head.cmsg_len = headBytes + descriptors.count * 4
      head.cmsg_level = SOL_SOCKET
      head.cmsg_type = Int32(SCM_RIGHTS)
      control.storeBytes(of: head, as: cmsghdr.self)
      descriptors.withUnsafeBytes { control[headBytes...].copyBytes(from: $0) }
    }
    return bytes.withUnsafeMutableBytes { bytes in
      control.withUnsafeMutableBytes { control in
        with(UnsafeMutableRawBufferPointer(bytes), control) { sendmsg(socket, &$0, Int32(MSG_NOSIGNAL) | flags) }
      }
    }
  }

  /// Receives bytes and the open files that come with them, which are the caller's from then on. Gives back what
  /// `recvmsg` does.
  package static func receive(
    _ socket: Int32, into bytes: UnsafeMutableRawBufferPointer, flags: Int32 = 0
  ) -> (count: Int, descriptors: [Int32]) {
    var control = [UInt8](repeating: 0, count: roomBytes)
    return control.withUnsafeMutableBytes { control in
      with(bytes, control) { message in
        let count = recvmsg(socket, &message, Int32(MSG_CMSG_CLOEXEC) | flags)
        guard count >= 0, message.msg_controllen > headBytes else { return (count, []) }
        let files = control[headBytes..<control.loadUnaligned(as: Int.self)]
        return (count, files.withMemoryRebound(to: Int32.self) { Array($0) })
      }
    }
  }

  private static func with<Result>(
    _ bytes: UnsafeMutableRawBufferPointer, _ control: UnsafeMutableRawBufferPointer,
    _ use: (inout msghdr) -> Result
  ) -> Result {
    var piece = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
    return withUnsafeMutablePointer(to: &piece) { piece in
      var message = msghdr()
      message.msg_iov = piece
      message.msg_iovlen = 1
      message.msg_control = control.baseAddress
      message.msg_controllen = control.count
      return use(&message)
    }
  }
}
