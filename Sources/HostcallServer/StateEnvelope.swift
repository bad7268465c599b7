import HostcallBridge

/// What stands in front of bytes that one process leaves to another: a mark, the version of what follows, its size and its
/// checksum, 32 bytes in all. What another version has written, or what was damaged, is not opened.
struct StateEnvelope: Sendable {
  private static let mark: UInt64 = 0x6c6c_6163_7473_6f68
  private static let byteCount = 32

  /// What is in it, for people.
  private let content: String
  private let version: (major: UInt32, minor: UInt32)

  init(of content: String, version: (major: UInt32, minor: UInt32)) {
    self.content = content
    self.version = version
  }

  func sealed(_ body: [UInt8]) -> [UInt8] {
    var coder = StateCoder()
    var header = Header(version: version, body)
    do throws(StateError) {
      try header.code(&coder)
    } catch {
      preconditionFailure("writing a state fails: \(error)")
    }
    return coder.bytes + body
  }

  func opened(_ bytes: [UInt8]) throws(StateError) -> [UInt8] {
    var coder = StateCoder(reading: bytes, descriptors: [])
    let body = Array(bytes.dropFirst(Self.byteCount))
    let wanted = Header(version: version, body)
    var found = wanted
    try found.code(&coder)
    guard found.mark == Self.mark else { throw StateError("it is not \(content)") }
    guard found.version == wanted.version else {
      throw StateError(
        "it is of version \(found.version.major).\(found.version.minor), and this hostcalld reads "
          + "\(version.major).\(version.minor)")
    }
    guard found.size == wanted.size else {
      throw StateError("it has \(wanted.size) bytes, where \(found.size) should be")
    }
    guard found.checksum == wanted.checksum else { throw StateError("its checksum is wrong") }
    return body
  }

  private struct Header {
    var mark = StateEnvelope.mark
    var version: (major: UInt32, minor: UInt32)
    var size: UInt64
    var checksum: UInt64

    init(version: (major: UInt32, minor: UInt32), _ body: [UInt8]) {
      self.version = version
      size = UInt64(body.count)
      checksum = StateEnvelope.checksum(body)
    }

    mutating func code(_ coder: inout StateCoder) throws(StateError) {
      try coder.code(&mark)
      try coder.code(&version.major)
      try coder.code(&version.minor)
      try coder.code(&size)
      try coder.code(&checksum)
    }
  }

  /// FNV-1a over words of eight bytes, against damage, not against forgery.
  private static func checksum(_ bytes: [UInt8]) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    bytes.withUnsafeBytes { bytes in
      let words = bytes.count / 8
      for index in 0..<words {
        hash = (hash ^ bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) &* 0x0000_0100_0000_01b3
        hash ^= hash >> 32
      }
      for byte in bytes[(words * 8)...] { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    }
    return hash
  }
}
