import Glibc

/// What one read of a stream brought.
package enum ReadOutcome: Hashable, Sendable {
  /// This many bytes, at least one, are at the start of the buffer.
  case bytes(Int)
  /// Nothing is there now; `onReadable` tells when there is.
  case wouldBlock
  /// The peer has closed its side and everything that it sent was read.
  case endOfStream
  /// The stream is broken, with this `errno` value; `EBADF` after `close()`.
  case failed(Int32)
}

extension SocketStream {
  /// Reads once, without waiting, into the start of `buffer`, which is not empty.
  ///
  /// Descriptors that the peer has sent along uninvited are closed at once.
  package func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadOutcome {
    loop.preconditionIsCurrent("SocketStream.read")
    precondition(buffer.count > 0, "a read needs room")
    guard isOpen else { return .failed(EBADF) }
    guard let count = receive(into: buffer) else {
      let code = errno
      if code == EAGAIN { return .wouldBlock }
      readingIsOver = true
      updateWatching()
      return .failed(code)
    }
    if count > 0 { return .bytes(count) }
    readingIsOver = true
    updateWatching()
    return .endOfStream
  }

  /// One `recvmsg`; nil leaves the reason in `errno`.
  private func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
    ReceivedDescriptors.withControlRoom { control in
      var piece = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
      return withUnsafeMutablePointer(to: &piece) { piece -> Int? in
        var message = msghdr()
        message.msg_iov = piece
        message.msg_iovlen = 1
        while true {
          message.msg_control = control.baseAddress
          message.msg_controllen = control.count
          let count = recvmsg(descriptor, &message, Int32(MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
          if count < 0 {
            if errno == EINTR { continue }
            return nil
          }
          if message.msg_controllen > 0 {
            // Nothing is invited yet; passing descriptors will hand them to the owner here.
            ReceivedDescriptors.closeAll(in: UnsafeRawBufferPointer(rebasing: control[..<message.msg_controllen]))
          }
          return count
        }
      }
    }
  }
}
