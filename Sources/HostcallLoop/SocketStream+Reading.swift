import CLibuv
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
  /// Descriptors that came along are at hand until the next read, see `takeReceivedDescriptors()`; without
  /// `acceptsDescriptors` they are closed at once. When the system is short of memory the stream waits for it, see
  /// `Shortage`, and says `wouldBlock`.
  package func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadOutcome {
    precondition(buffer.count > 0, "a read needs room")
    var piece = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
    return withUnsafeMutablePointer(to: &piece) { read(into: $0, count: 1) }
  }

  /// The same into several pieces of memory, at least one and none of them empty, one after another.
  package func read(into buffers: [UnsafeMutableRawBufferPointer]) -> ReadOutcome {
    precondition(!buffers.isEmpty && !buffers.contains { $0.isEmpty }, "a read needs room")
    return withUnsafeTemporaryAllocation(of: iovec.self, capacity: buffers.count) { pieces in
      for (index, buffer) in buffers.enumerated() {
        pieces.initializeElement(at: index, to: iovec(iov_base: buffer.baseAddress, iov_len: buffer.count))
      }
      return read(into: pieces.baseAddress.unsafelyUnwrapped, count: buffers.count)
    }
  }

  private func read(into pieces: UnsafeMutablePointer<iovec>, count pieceCount: Int) -> ReadOutcome {
    loop.preconditionIsCurrent("SocketStream.read")
    guard isOpen else { return .failed(EBADF) }
    if receivedDescriptors != nil { receivedDescriptors = nil }
    let isHeldBack = isHeldBack
    guard let count = isHeldBack ? nil : receive(into: pieces, count: pieceCount) else {
      let code = isHeldBack ? EMFILE : errno
      if code == EAGAIN { return .wouldBlock }
      if waitOutReadingShortage(code) { return .wouldBlock }
      readingIsOver = true
      updateWatching()
      return .failed(code)
    }
    if readingShortage.isMet { readingShortage.end() }
    if count > 0 { return .bytes(count) }
    readingIsOver = true
    updateWatching()
    return .endOfStream
  }

  /// Hands over the descriptors that came with the last read, to the first who asks.
  ///
  /// A read brings at most one batch, for it ends with the message that has them: they belong to a frame that begins
  /// among the bytes of that read, and no message behind theirs has been touched. What nobody has taken by the next
  /// read, or by `close()`, is closed. See protocol, *Descriptors*.
  package func takeReceivedDescriptors() -> PassedDescriptors? {
    loop.preconditionIsCurrent("SocketStream.takeReceivedDescriptors")
    guard let received = receivedDescriptors else { return nil }
    receivedDescriptors = nil
    return received
  }

  /// Whether it has to wait until descriptors that came before are closed, so that they cannot use up all there are.
  private var isHeldBack: Bool { hasBroughtDescriptors && DescriptorCloser.shared.isBehind }

  /// One `recvmsg`; nil leaves the reason in `errno`.
  private func receive(into pieces: UnsafeMutablePointer<iovec>, count pieceCount: Int) -> Int? {
    let control = loop.controlRoom.bytes
    var message = msghdr()
    message.msg_iov = pieces
    message.msg_iovlen = pieceCount
    while true {
      message.msg_control = control.baseAddress
      message.msg_controllen = control.count
      let count = recvmsg(descriptor, &message, Int32(MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
      if count < 0 {
        if errno == EINTR { continue }
        return nil
      }
      // With no descriptor to be had at all there is no control data either, only the mark that it was cut.
      let wasTruncated = message.msg_flags & Int32(MSG_CTRUNC) != 0
      if message.msg_controllen > 0 || wasTruncated {
        keepDescriptors(
          in: UnsafeRawBufferPointer(rebasing: control[..<message.msg_controllen]), wasTruncated: wasTruncated)
      }
      return count
    }
  }

  /// Keeps what a message has brought for the owner, or closes it.
  private func keepDescriptors(in control: UnsafeRawBufferPointer, wasTruncated: Bool) {
    hasBroughtDescriptors = true
    let received = PassedDescriptors(
      takingOver: ControlMessage.descriptors(in: control), wasTruncated: wasTruncated)
    if acceptsDescriptors { receivedDescriptors = received }
  }
}
