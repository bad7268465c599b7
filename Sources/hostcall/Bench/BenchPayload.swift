/// The payloads that `bench` sends: bytes of all values, of which the first eight are the call's number, so that one
/// call's answer is no other's.
struct BenchPayload: Sendable {
  private let pattern: [UInt8]

  init(sizeBytes: Int) {
    pattern = (0..<sizeBytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
  }

  /// What to send with a call.
  func bytes(ofCall number: Int) -> [UInt8] {
    var bytes = pattern
    for place in 0..<min(8, bytes.count) { bytes[place] = UInt8(truncatingIfNeeded: number >> (8 * place)) }
    return bytes
  }
}
