import HostcallWire

/// Frames put together by hand from the table in section 2 of the protocol, apart from the encoder under test.
enum Bytes {
  static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  static func frame(
    kind: UInt8, flags: UInt8 = 0, encoding: UInt8 = 0, status: UInt8 = 0, id: UInt64 = 1, function: UInt32 = 0,
    timeout: UInt32 = 0, aux: UInt32 = 0, name: [UInt8] = [], metadata: [UInt8] = [], payload: [UInt8] = [],
    size: UInt32? = nil, nameSize: UInt16? = nil, metadataSize: UInt16? = nil
  ) -> [UInt8] {
    var bytes = littleEndian(size ?? UInt32(name.count + metadata.count + payload.count))
    bytes += [kind, flags, encoding, status]
    bytes += littleEndian(id) + littleEndian(function) + littleEndian(timeout)
    bytes += littleEndian(nameSize ?? UInt16(name.count)) + littleEndian(metadataSize ?? UInt16(metadata.count))
    bytes += littleEndian(aux)
    return bytes + name + metadata + payload
  }

  /// A frame that is in order but for what is given.
  static func frame(
    _ kind: FrameKind, flags: UInt8 = 0, encoding: UInt8 = 0, status: UInt8 = 0, id: UInt64? = nil,
    name: String? = nil, metadata: [UInt8] = [], payload: [UInt8] = []
  ) -> [UInt8] {
    let needsName: Bool =
      switch kind {
      case .register, .bind, .call, .subscribe, .unsubscribe, .publish, .event: true
      default: false
      }
    return frame(
      kind: kind.rawValue, flags: flags, encoding: encoding, status: status,
      id: id ?? (kind == .hello ? FrameHeader.helloID : 1), name: Array((name ?? (needsName ? "a.b" : "")).utf8),
      metadata: metadata, payload: payload)
  }

  static func entry(_ key: [UInt8], _ value: [UInt8]) -> [UInt8] {
    [UInt8(key.count)] + key + littleEndian(UInt16(value.count)) + value
  }

  static func entry(_ key: String, _ value: String) -> [UInt8] {
    entry(Array(key.utf8), Array(value.utf8))
  }
}

/// Hands bytes over in memory of exactly their size.
func lend<Answer>(_ bytes: [UInt8], to body: (UnsafeRawBufferPointer) -> Answer) -> Answer {
  let lent = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
  defer { lent.deallocate() }
  lent.copyBytes(from: bytes)
  return body(UnsafeRawBufferPointer(lent))
}
