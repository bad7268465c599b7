package import HostcallLoop
package import HostcallWire

/// Descriptors that have come, until the frames that they belong to have come whole (protocol section 4, *Descriptors*).
///
/// A read brings at most one batch, of a frame that begins among its bytes. Thread: the loop's, which owns it.
package struct IncomingDescriptors {
  private var batches: [PassedDescriptors] = []
  /// Whether a batch of an earlier read waits for a frame that has begun by then.
  private var isOwed = false

  package init() {}

  /// A read has brought bytes, and a batch or none.
  package mutating func begin(_ batch: PassedDescriptors?) {
    isOwed = !batches.isEmpty
    if let batch { batches.append(batch) }
  }

  /// What a frame brings along; the frames of a read are asked about in order.
  ///
  /// Errors: the number is not that of the metadata, or there are none. Where this process could not have more of them
  /// they are fewer, and `wasTruncated`.
  package mutating func take(for frame: DecodedFrame) throws(ProtocolViolation) -> HostcallDescriptors {
    guard frame.header.flags.has(.descriptors) else {
      // Only the frame that had begun can be the one that they came with.
      if isOwed { throw ProtocolViolation("\(frame.kind) without the flag DESCRIPTORS brought descriptors") }
      return .none
    }
    isOwed = false
    guard !batches.isEmpty else { throw ProtocolViolation("\(frame.kind) says DESCRIPTORS and brought none") }
    let batch = batches.removeFirst()
    // The number is gone with the body, and nobody will use them.
    if frame.isTooLarge { return .none }
    let number = Metadata(decoding: frame.metadata)[Metadata.descriptorsKey]
    guard let count = number.flatMap({ Int($0) }), (1...HostcallDescriptors.maximumCount).contains(count) else {
      throw ProtocolViolation("\(frame.kind) says DESCRIPTORS and not how many")
    }
    guard batch.count == count || batch.wasTruncated else {
      throw ProtocolViolation("\(frame.kind) says \(count) descriptors and brought \(batch.count)")
    }
    return HostcallDescriptors(batch)
  }

  /// The read's frames are over; whether a part of another one is kept.
  package mutating func end(keepsPart: Bool) throws(ProtocolViolation) {
    guard batches.count <= (keepsPart ? 1 : 0) else {
      throw ProtocolViolation("descriptors came without a frame that has the flag DESCRIPTORS")
    }
  }
}

extension HostcallDescriptors {
  /// Whether some are missing, because this process could have no more.
  package var wereTruncated: Bool { passed?.wasTruncated ?? false }
}
