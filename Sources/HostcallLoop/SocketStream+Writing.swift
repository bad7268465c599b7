import CLibuv
import Glibc

/// What a flush of a stream's output came to.
package enum FlushOutcome: Hashable, Sendable {
  /// Everything has left.
  case drained
  /// Something is left; it goes out as the peer reads, and `onWritable` tells of progress.
  case waiting
  /// The stream is broken, with this `errno` value, now and for good; `EBADF` after `close()`.
  case failed(Int32)
}

extension SocketStream {
  /// How many pieces go into one system call.
  private static let maximumPiecesPerSend = 64
  /// How many system calls one flush may make before others on the loop have their turn.
  private static let maximumSendsPerFlush = 4
  /// And how many bytes it may send: what a large frame leaves in the queue then goes out turn by turn, however fast the
  /// peer reads, and others have to wait for one such write and no more.
  package static let maximumBytesPerFlush = 262_144

  /// Sends what `output` holds, as far as the socket takes it now.
  ///
  /// When the system is short of memory, or of room for descriptors under way, nothing is lost: the stream is `waiting`
  /// and tries again, see `Shortage`.
  package func flush() -> FlushOutcome {
    loop.preconditionIsCurrent("SocketStream.flush")
    guard isOpen else { return .failed(EBADF) }
    if sendFailure != 0 { return .failed(sendFailure) }
    // The socket was full a moment ago and libuv will tell when it no longer is.
    if awaitsWritable { return .waiting }
    let outcome = sendQueued()
    updateWatching()
    return outcome
  }

  /// Sends and notes whether to go on when the socket is writable; the caller updates the watching.
  func sendQueued() -> FlushOutcome {
    var bytesLeft = Self.maximumBytesPerFlush
    for _ in 0..<Self.maximumSendsPerFlush where bytesLeft > 0 {
      let queued = output.queuedBytes
      if queued == 0 || output.hasDescriptors && mustWaitForReader() { break }
      let (sent, offered) = sendOnce(byteLimit: bytesLeft)
      if sent < 0 {
        let code = errno
        if code == EAGAIN { break }
        if waitOutSendingShortage(code) { return .waiting }
        sendFailure = code
        awaitsWritable = false
        return .failed(code)
      }
      if sendingShortage.isMet { sendingShortage.end() }
      output.didSend(byteCount: sent)
      bytesLeft -= sent
      // Taking less than was offered is how the socket says that it is full.
      if sent < offered { break }
    }
    awaitsWritable = output.queuedBytes > 0
    return awaitsWritable ? .waiting : .drained
  }

  /// One `sendmsg`: how many bytes it took (or -1, with the reason in `errno`) of how many.
  private func sendOnce(byteLimit: Int) -> (sent: Int, offered: Int) {
    // Descriptors leave with the first byte of a message, so a frame that has some begins one.
    output.hasDescriptors ? sendOnceWithDescriptors(byteLimit) : sendOnce(byteLimit: byteLimit, control: nil)
  }

  private func sendOnceWithDescriptors(_ byteLimit: Int) -> (sent: Int, offered: Int) {
    let byteLimit = min(byteLimit, output.bytesBeforeNextDescriptors())
    guard let descriptors = output.descriptorsToSendNow() else { return sendOnce(byteLimit: byteLimit, control: nil) }
    return descriptors.withNumbers { numbers in
      let outcome = ControlMessage.with(numbers) { sendOnce(byteLimit: byteLimit, control: $0) }
      if outcome.sent > 0 { unreceivedDescriptors += numbers.count }
      return outcome
    }
  }

  private func sendOnce(
    byteLimit: Int, control: UnsafeMutableRawBufferPointer?
  ) -> (sent: Int, offered: Int) {
    withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.maximumPiecesPerSend) { pieces in
      var offered = 0
      let count = output.forEachPiece(limit: Self.maximumPiecesPerSend, byteLimit: byteLimit) { index, bytes in
        pieces.initializeElement(at: index, to: iovec(iov_base: bytes.baseAddress, iov_len: bytes.count))
        offered += bytes.count
      }
      var message = msghdr()
      message.msg_iov = pieces.baseAddress
      message.msg_iovlen = count
      if let control {
        message.msg_control = control.baseAddress
        message.msg_controllen = control.count
      }
      while true {
        let sent = sendmsg(descriptor, &message, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
        if sent < 0, errno == EINTR { continue }
        return (sent, offered)
      }
    }
  }
}
