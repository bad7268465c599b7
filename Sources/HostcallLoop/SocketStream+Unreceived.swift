import Glibc

// Descriptors that have left and that the peer has not received are counted by the kernel, for all that this user has
// sent to anybody: past its limit on open files nobody gets one any more. So a peer that does not read gets few.
extension SocketStream {
  /// How many descriptors the peer may have received not yet when more are sent; one batch may go past it.
  package static let maximumUnreceivedDescriptors = 64
  /// Between one look whether it has read and the next: 1 ms at first, then twice as long, but no longer than this.
  private static let longestLookMilliseconds: UInt64 = 100

  /// Whether the descriptors that are next have to wait until the peer reads; then the stream rests and looks again.
  func mustWaitForReader() -> Bool {
    guard let next = output.descriptorsToSendNow(), unreceivedDescriptors > 0,
      unreceivedDescriptors + next.count > Self.maximumUnreceivedDescriptors
    else { return false }
    guard peerHasUnreadBytes else {
      unreceivedDescriptors = 0
      looksForReader = 0
      return false
    }
    restUntilNextLook(milliseconds: min(1 << UInt64(min(looksForReader, 10)), Self.longestLookMilliseconds))
    looksForReader += 1
    return true
  }

  private var peerHasUnreadBytes: Bool {
    var bytes: Int32 = 0
    // For a Unix socket this is what its messages occupy until they are read, whole.
    return ioctl(descriptor, UInt(TIOCOUTQ), &bytes) == 0 && bytes > 0
  }
}
