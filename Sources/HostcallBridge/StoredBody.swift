package import HostcallWire

/// Metadata and payload of a call that waits, or that may be sent again: a copy that lives as long as somebody holds it,
/// or a part of a large body, which is held and not copied.
///
/// Immutable after its initialiser; this is what makes it safe to hand to another thread.
public final class StoredBody: @unchecked Sendable {
  /// The copy, valid while the object is; empty where there is none.
  @usableFromInline package let bytes: UnsafeRawBufferPointer
  /// The large body that it is a part of.
  package let large: LargeBody?
  /// How many bytes it has: of the large body the last ones.
  package let byteCount: Int
  /// Open files that go with it.
  package let descriptors: (any FrameDescriptors)?

  init(copying source: UnsafeRawBufferPointer, descriptors: (any FrameDescriptors)? = nil) {
    self.descriptors = descriptors
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
    copy.copyMemory(from: source)
    bytes = UnsafeRawBufferPointer(copy)
    large = nil
    byteCount = source.count
  }

  /// All of a large body but so many bytes at its start.
  init(sharing large: LargeBody, from start: Int, descriptors: (any FrameDescriptors)? = nil) {
    self.descriptors = descriptors
    self.large = large
    bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    byteCount = large.count - start
  }

  /// The body of a frame that has come, but for so many bytes at its start.
  convenience init(_ frame: DecodedFrame, from start: Int = 0, descriptors: (any FrameDescriptors)? = nil) {
    if let large = frame.large {
      self.init(sharing: large, from: start, descriptors: descriptors)
    } else {
      self.init(copying: UnsafeRawBufferPointer(rebasing: frame.body[start...]), descriptors: descriptors)
    }
  }

  deinit {
    bytes.deallocate()
  }
}
