import HostcallTestSupport
import HostcallWire

/// Makes random frames that keep every rule, with what the decoder has to say about them.
struct FrameGenerator {
  var random: SeededGenerator
  let direction: FrameDirection
  let largestBodyBytes: Int

  /// One frame as bytes and as the decoder has to give it out.
  mutating func next() -> (bytes: [UInt8], frame: Frame) {
    let kind = FrameKind.allCases.filter { $0.maySend(direction) }.randomElement(using: &random)!
    let name = name(for: kind)
    let metadata = metadata()
    let payload = payload(for: kind)
    let lowest = UInt32.random(in: 0...3, using: &random)
    let function: UInt32 =
      switch kind {
      case .call: name.isEmpty ? UInt32.random(in: 1 ... .max, using: &random) : 0
      case .hello: lowest
      default: UInt32(truncatingIfNeeded: random.next())
      }
    var flags = kind.allowedFlags
    if random.oneIn(2) { flags.formIntersection(FrameFlags(rawValue: UInt8(truncatingIfNeeded: random.next()))) }
    let id: UInt64 =
      kind == .hello ? FrameHeader.helloID : kind.needsID ? random.next() | 1 << 40 : random.next() & 0xff
    let header = FrameHeader(
      kind: kind, flags: flags, encoding: [.raw, .json, .cbor, .init(rawValue: 128)].randomElement(using: &random)!,
      status: status(for: kind), id: id, function: function,
      timeoutMilliseconds: UInt32(truncatingIfNeeded: random.next()),
      aux: kind == .hello ? lowest + 1 : UInt32(truncatingIfNeeded: random.next()))
    let bytes = Bytes.frame(
      kind: kind.rawValue, flags: flags.rawValue, encoding: header.encoding.rawValue, status: header.status.rawValue,
      id: id, function: function, timeout: header.timeoutMilliseconds, aux: header.aux, name: name, metadata: metadata,
      payload: payload)
    var sized = header
    sized.nameBytes = UInt16(name.count)
    sized.metadataBytes = UInt16(metadata.count)
    sized.bodyBytes = UInt32(name.count + metadata.count + payload.count)
    let isTooLarge = Int(sized.bodyBytes) > largestBodyBytes
    return (
      bytes,
      isTooLarge
        ? Frame(header: sized, kind: kind, isTooLarge: true)
        : Frame(header: sized, kind: kind, name: name, metadata: metadata, payload: payload)
    )
  }

  private mutating func name(for kind: FrameKind) -> [UInt8] {
    let isLeftOut = random.oneIn(2)
    switch kind.nameRule {
    case .unused: return []
    case .optionalName where isLeftOut: return []
    case .nameOrPattern where random.oneIn(10): return [UInt8(ascii: "*")]
    default: break
    }
    let letters = Array("abzAZ09_-".utf8)
    var segments: [[UInt8]] = []
    for _ in 0..<Int.random(in: 1...5, using: &random) {
      segments.append((0..<Int.random(in: 1...20, using: &random)).map { _ in letters.randomElement(using: &random)! })
    }
    if kind.nameRule == .nameOrPattern, random.oneIn(2) { segments.append([UInt8(ascii: "*")]) }
    return Array(segments.joined(separator: [UInt8(ascii: ".")]))
  }

  private mutating func metadata() -> [UInt8] {
    guard random.oneIn(2) else { return [] }
    var bytes: [UInt8] = []
    for number in 0..<Int.random(in: 1...24, using: &random) {
      let value = String(repeating: ["", "x", "é", "漢", "🙂"].randomElement(using: &random)!, count: number)
      bytes += Bytes.entry("key-\(number)", value)
    }
    return bytes
  }

  private mutating func payload(for kind: FrameKind) -> [UInt8] {
    if kind == .ping || kind == .pong { return random.bytes(Int.random(in: 0...64, using: &random)) }
    let most = [0, 10, 300, 2 * largestBodyBytes].randomElement(using: &random)!
    return random.bytes(Int.random(in: 0...most, using: &random))
  }

  private mutating func status(for kind: FrameKind) -> Status {
    let statuses: [Status] = [.ok, .panic, .failed, .cancelled, .unknown, .init(rawValue: 128), .init(rawValue: 255)]
    switch kind {
    case .complete, .result, .goaway, .rejected, .cancel, .welcome: return statuses.randomElement(using: &random)!
    default: return .ok
    }
  }
}
