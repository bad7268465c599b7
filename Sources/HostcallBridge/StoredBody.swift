/// Metadata and payload of a call that waits, or that may be sent again: a copy that lives as long as somebody holds it.
///
/// Immutable after its initialiser; this is what makes it safe to hand to another thread.
public final class StoredBody: @unchecked Sendable {
  /// The copy, valid while the object is.
  @usableFromInline package let bytes: UnsafeRawBufferPointer
  /// Open files that go with it.
  package let descriptors: (any FrameDescriptors)?

  init(copying source: UnsafeRawBufferPointer, descriptors: (any FrameDescriptors)? = nil) {
    self.descriptors = descriptors
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
    copy.copyMemory(from: source)
    bytes = UnsafeRawBufferPointer(copy)
  }

  deinit {
    bytes.deallocate()
  }
}
