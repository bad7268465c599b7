/// Open files that travel with a frame (protocol section 4, *Descriptors*). The bridge counts them and hands them on; they
/// are closed when nobody holds them any more.
package protocol FrameDescriptors: AnyObject, Sendable {
  /// How many there are.
  var count: Int { get }
  /// Why they cannot be passed on, nil where they can.
  var problem: DescriptorsProblem? { get }
}

/// Why descriptors that came cannot be passed on. They have been closed.
package enum DescriptorsProblem: Sendable, Equatable {
  /// This process has no more descriptors.
  case outOfDescriptors
  /// The user has as many on their way as it may have.
  case overQuota(limit: Int)
}

/// A frame for a peer that is gone, and that had not wholly left.
package struct UnsentFrame {
  /// Header and body.
  package let bytes: UnsafeRawBufferPointer
  package let descriptors: (any FrameDescriptors)?

  package init(bytes: UnsafeRawBufferPointer, descriptors: (any FrameDescriptors)? = nil) {
    self.bytes = bytes
    self.descriptors = descriptors
  }
}
