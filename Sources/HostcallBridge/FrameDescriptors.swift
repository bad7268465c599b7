package import HostcallWire

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
  private let content: Content
  private let descriptors: (any FrameDescriptors)?

  private enum Content {
    case whole(UnsafeRawBufferPointer)
    case endOfLarge(LargeBody)
  }

  /// Header and body in one piece.
  package init(bytes: UnsafeRawBufferPointer, descriptors: (any FrameDescriptors)? = nil) {
    content = .whole(bytes)
    self.descriptors = descriptors
  }

  /// A frame whose last part is the last one of a large body.
  package init(endOf large: LargeBody, descriptors: (any FrameDescriptors)? = nil) {
    content = .endOfLarge(large)
    self.descriptors = descriptors
  }

  /// The last bytes of its body, which must not be more than it shares with a large one.
  func stored(lastBytes byteCount: Int) -> StoredBody {
    switch content {
    case .whole(let bytes):
      StoredBody(copying: UnsafeRawBufferPointer(rebasing: bytes.suffix(byteCount)), descriptors: descriptors)
    case .endOfLarge(let large):
      StoredBody(sharing: large, from: large.count - byteCount, descriptors: descriptors)
    }
  }
}
