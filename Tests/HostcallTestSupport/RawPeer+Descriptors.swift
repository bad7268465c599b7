import Glibc
package import HostcallWire

/// Open files beside the bytes (protocol section 4, *Descriptors*).
extension RawPeer {
  /// `SCM_RIGHTS`, which Glibc's module does not have.
  private static let rights: Int32 = 1
  private static let headBytes = MemoryLayout<cmsghdr>.size

  /// Sends bytes, and open files with the first of them; they stay the test's.
  package func send(_ bytes: [UInt8], descriptors: [Int32]) throws {
    var control = [UInt8](repeating: 0, count: (Self.headBytes + descriptors.count * 4 + 7) / 8 * 8)
    control.withUnsafeMutableBytes { control in
      var head = cmsghdr()
      head.cmsg_len = Self.headBytes + descriptors.count * 4
      head.cmsg_level = SOL_SOCKET
      head.cmsg_type = Self.rights
      withUnsafeBytes(of: head) { control.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<Self.headBytes])) }
      descriptors.withUnsafeBytes { control[Self.headBytes...].copyBytes(from: $0) }
    }
    let sent = message(bytes, &control) { sendmsg(descriptor, &$0, Int32(MSG_NOSIGNAL)) }
    guard sent > 0 else { throw Failure(description: "cannot send: \(String(cString: strerror(errno)))") }
    try send(Array(bytes[sent...]))
  }

  /// Sends a frame with open files, whose number its metadata says.
  package func send(
    _ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: [UInt8] = [], descriptors: [Int32]
  ) throws {
    var header = header
    var metadata = metadata
    header.flags.insert(.descriptors)
    metadata["descriptors"] = "\(descriptors.count)"
    try send(
      FrameEncoder.encode(header, name: name, metadata: metadata, payload: payload), descriptors: descriptors)
  }

  /// The open files that have come so far; the test has to close them.
  package func takeDescriptors() -> [Int32] {
    defer { received = [] }
    return received
  }

  /// One `recvmsg`, whose open files are kept in ``received``.
  func receive(into bytes: UnsafeMutableRawBufferPointer) -> Int {
    var piece = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
    var control = [UInt8](repeating: 0, count: 1_040)
    return control.withUnsafeMutableBytes { control in
      withUnsafeMutablePointer(to: &piece) { piece in
        var message = msghdr()
        message.msg_iov = piece
        message.msg_iovlen = 1
        message.msg_control = control.baseAddress
        message.msg_controllen = control.count
        let count = recvmsg(descriptor, &message, Int32(MSG_CMSG_CLOEXEC))
        if count >= 0, message.msg_controllen > Self.headBytes {
          let files = control[Self.headBytes..<control.loadUnaligned(as: Int.self)]
          received += files.withMemoryRebound(to: Int32.self) { Array($0) }
        }
        return count
      }
    }
  }

  private func message(_ bytes: [UInt8], _ control: inout [UInt8], _ use: (inout msghdr) -> Int) -> Int {
    var bytes = bytes
    return bytes.withUnsafeMutableBytes { bytes in
      control.withUnsafeMutableBytes { control in
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
  }
}
