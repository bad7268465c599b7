import HostcallWire

/// Tells which frame of a read the descriptors belong to that came with it (protocol section 4, *Descriptors*).
///
/// A read brings descriptors once at most, with the first byte of a frame that begins in it. So those of an earlier read
/// belong to the first frame that ends in this one, and those of this read to the first later one that says it has some,
/// or to the one that has only begun when the read is over.
struct ArrivedDescriptors {
  /// Of the frame that an earlier read began.
  private var begun: ChargedDescriptors?
  /// Of this read.
  private var fresh: ChargedDescriptors?

  init(begun: ChargedDescriptors?, fresh: ChargedDescriptors?) {
    self.begun = begun
    self.fresh = fresh
  }

  /// Whether there are none for any frame that is still to come.
  var isEmpty: Bool { begun == nil && fresh == nil }

  /// Those of the next whole frame of the read.
  mutating func take(for header: FrameHeader) -> ChargedDescriptors? {
    if let descriptors = begun {
      begun = nil
      return descriptors
    }
    guard let descriptors = fresh, header.flags.has(.descriptors) else { return nil }
    fresh = nil
    return descriptors
  }

  /// Those of the frame that has only begun when the read is over.
  ///
  /// Errors: they came in the middle of a frame, or with one that is whole and does not say so.
  func rest(isBetweenFrames: Bool) throws(ProtocolViolation) -> ChargedDescriptors? {
    if begun != nil, fresh != nil { throw ProtocolViolation("descriptors came in the middle of a frame") }
    if fresh != nil, isBetweenFrames {
      throw ProtocolViolation("descriptors came with a frame that has not the flag DESCRIPTORS")
    }
    return begun ?? fresh
  }
}
