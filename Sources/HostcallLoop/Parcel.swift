import CLibuv
import Glibc

/// Bytes and open files that wait, as one descriptor, for a process that takes them later.
///
/// The bytes lie in a sealed memory file. It and the other files lie, not yet received, in a socket, and that is the
/// descriptor: it keeps all of them open for as long as it is open itself.
///
/// Thread: any.
package enum Parcel {
  /// Descriptors that one message of the socket carries.
  private static let descriptorsPerMessage = PassedDescriptors.maximumCount

  // Of <linux/memfd.h> and <linux/fcntl.h>, which cannot be read beside glibc's headers.
  private static let closeOnExec: UInt32 = 1
  private static let allowSealing: UInt32 = 2
  private static let addSeals: Int32 = 1_033
  private static let getSeals: Int32 = 1_034
  /// Against more seals, shrinking, growing and writing.
  private static let seals: Int32 = 1 | 2 | 4 | 8

  /// Packs bytes and descriptors; these stay open here, the caller's. What is given is the caller's too, and closed on exec.
  ///
  /// Errors: more descriptors than a socket takes unreceived: some 60,000, and no more than this process may have open.
  package static func pack(_ bytes: [UInt8], _ descriptors: [Int32]) throws(LoopError) -> Int32 {
    let attempted = "pack \(bytes.count) bytes and \(descriptors.count) descriptors"
    let file = try sealedFile(bytes, attempted)
    defer { close(file) }
    var ends: (sending: Int32, receiving: Int32) = (-1, -1)
    let code = withUnsafeMutableBytes(of: &ends) {
      socketpair(
        AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0,
        $0.baseAddress?.assumingMemoryBound(to: Int32.self))
    }
    guard code == 0 else { throw LoopError(attempted: attempted, code: errno) }
    // Whoever receives finds the end of all messages.
    defer { close(ends.sending) }
    var rest = ([file] + descriptors)[...]
    while !rest.isEmpty {
      let batch = Array(rest.prefix(descriptorsPerMessage))
      guard UnixSocket.send([UInt8(batch.count)], batch, over: ends.sending, mayWait: false) else {
        let code = errno
        close(ends.receiving)
        throw LoopError(
          attempted: attempted, code: code, reason: code == EAGAIN ? "they are too many for a socket" : nil)
      }
      rest = rest.dropFirst(batch.count)
    }
    return ends.receiving
  }

  /// Takes what was packed, and closes the descriptor. All that is given is the caller's, and closed on exec.
  ///
  /// Errors: it is not what ``pack(_:_:)`` gave, or this process cannot have so many descriptors; then all are closed.
  package static func unpack(_ descriptor: Int32) throws(LoopError) -> (bytes: [UInt8], descriptors: [Int32]) {
    defer { close(descriptor) }
    var received: [Int32] = []
    do throws(LoopError) {
      while try receive(&received, from: descriptor) {}
      guard let file = received.first else { throw broken("nothing is in it") }
      let bytes = try contents(of: file)
      close(file)
      return (bytes, Array(received.dropFirst()))
    } catch {
      for descriptor in received { close(descriptor) }
      throw error
    }
  }

  private static func broken(_ reason: String, code: Int32 = EBADMSG) -> LoopError {
    LoopError(attempted: "unpack what another process has packed", code: code, reason: reason)
  }

  /// Appends what the next message has; false at the end.
  private static func receive(_ received: inout [Int32], from descriptor: Int32) throws(LoopError) -> Bool {
    var announced: UInt8 = 0
    var message = msghdr()
    let control = ControlMessage.Room()
    let count = withUnsafeMutablePointer(to: &announced) { byte in
      var piece = iovec(iov_base: byte, iov_len: 1)
      return withUnsafeMutablePointer(to: &piece) { piece in
        message.msg_iov = piece
        message.msg_iovlen = 1
        message.msg_control = control.bytes.baseAddress
        message.msg_controllen = control.bytes.count
        while true {
          let count = recvmsg(descriptor, &message, Int32(MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
          if count >= 0 || errno != EINTR { return count }
        }
      }
    }
    guard count >= 0 else { throw broken(LoopError.text(ofCode: errno), code: errno) }
    guard count > 0 else { return false }
    let batch = ControlMessage.descriptors(
      in: UnsafeRawBufferPointer(rebasing: control.bytes[..<message.msg_controllen]))
    received += batch
    guard message.msg_flags & Int32(MSG_CTRUNC) == 0, batch.count == announced else {
      throw LoopError(
        attempted: "unpack what another process has packed", code: EMFILE, advice: "raise the limit on open files")
    }
    return true
  }

  // MARK: The file

  private static func sealedFile(_ bytes: [UInt8], _ attempted: String) throws(LoopError) -> Int32 {
    let file = memfd_create("hostcall", closeOnExec | allowSealing)
    guard file >= 0 else { throw LoopError(attempted: attempted, code: errno) }
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress! + written, $0.count - written, off_t(written)) }
      guard count > 0 || errno == EINTR else { return try failed(file, attempted) }
      written += max(0, count)
    }
    guard fcntl(file, addSeals, seals) == 0 else { return try failed(file, attempted) }
    return file
  }

  private static func failed(_ file: Int32, _ attempted: String) throws(LoopError) -> Int32 {
    let code = errno
    close(file)
    throw LoopError(attempted: attempted, code: code)
  }

  private static func contents(of file: Int32) throws(LoopError) -> [UInt8] {
    var status = stat()
    guard fcntl(file, getSeals) & seals == seals, fstat(file, &status) == 0 else {
      throw broken("its first file is not a sealed one")
    }
    var read = 0
    let size = Int(status.st_size)
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { bytes, initializedCount in
      while read < size {
        let count = pread(file, bytes.baseAddress! + read, size - read, off_t(read))
        if count <= 0, errno != EINTR { break }
        read += max(0, count)
      }
      initializedCount = read
    }
    guard read == size else { throw broken("its file ends too early") }
    return bytes
  }
}
