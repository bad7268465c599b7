/// Bytes that say whose they are, so that none can pass for another's: an identity, a number, and a filling that follows
/// from both.
struct SoakPayload: Equatable {
  /// What a payload is for; part of what is checked.
  enum Role: UInt64 {
    case request = 0x5245_5155
    case answer = 0x414e_5357
    case stray = 0x5354_5241
    case resultItem = 0x4954_454d
    case argumentItem = 0x4152_4755
    case event = 0x4556_454e
    case file = 0x4649_4c45
  }

  static let smallestBytes = 24

  /// Of the call, or of the publisher.
  let identity: UInt64
  /// By role: plan and count, correlation id, or place.
  let number: UInt64

  /// The bytes, of a size that is at least the smallest.
  func encoded(_ role: Role, byteCount: Int = smallestBytes) -> [UInt8] {
    let byteCount = max(byteCount, Self.smallestBytes)
    let word = check(role)
    return [UInt8](unsafeUninitializedCapacity: byteCount) { bytes, count in
      let raw = UnsafeMutableRawBufferPointer(bytes)
      raw.storeBytes(of: identity, as: UInt64.self)
      raw.storeBytes(of: number, toByteOffset: 8, as: UInt64.self)
      var offset = 16
      while offset + 8 <= byteCount {
        raw.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
        offset += 8
      }
      while offset < byteCount {
        raw[offset] = 0x2e
        offset += 1
      }
      count = byteCount
    }
  }

  /// Nil where these bytes are not whole, not of this role, or mixed with others.
  init?(_ role: Role, _ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= Self.smallestBytes else { return nil }
    identity = bytes.loadUnaligned(as: UInt64.self)
    number = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    let word = check(role)
    var offset = 16
    while offset + 8 <= bytes.count {
      guard bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) == word else { return nil }
      offset += 8
    }
    while offset < bytes.count {
      guard bytes[offset] == 0x2e else { return nil }
      offset += 1
    }
  }

  init(identity: UInt64, number: UInt64) {
    self.identity = identity
    self.number = number
  }

  private func check(_ role: Role) -> UInt64 {
    var mixed = (identity ^ role.rawValue) &* 0x9e37_79b9_7f4a_7c15 ^ number
    mixed = (mixed ^ (mixed >> 29)) &* 0xbf58_476d_1ce4_e5b9
    return mixed ^ (mixed >> 32)
  }
}
