/// Puts frames together (protocol section 2).
package enum FrameEncoder {
  /// The bytes of one frame.
  ///
  /// The sizes in `header` are filled in; name, metadata and payload must keep their rules,
  /// which the receiver checks.
  package static func encode(
    _ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: some Collection<UInt8> = []
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    append(header, name: name, metadata: metadata, payload: payload, to: &bytes)
    return bytes
  }

  /// Appends the bytes of one frame.
  package static func append(
    _ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: some Collection<UInt8> = [],
    to bytes: inout [UInt8]
  ) {
    var header = header
    header.nameBytes = UInt16(name.utf8.count)
    header.metadataBytes = UInt16(metadata.encodedBytes)
    header.bodyBytes = UInt32(name.utf8.count + metadata.encodedBytes + payload.count)
    let neededBytes = bytes.count + header.frameBytes
    if neededBytes > bytes.capacity {
      // Room for exactly this frame would move everything again with the next one.
      bytes.reserveCapacity(max(neededBytes, 2 * bytes.capacity))
    }
    withUnsafeBytes(of: header) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: name.utf8)
    metadata.encode(into: &bytes)
    bytes.append(contentsOf: payload)
  }
}
