/// The last bytes of what was written, as much as an error message can use.
struct OutputTail {
  /// Bytes kept.
  static let longestBytes = 4_096

  private var bytes: [UInt8] = []
  private var isCut = false

  /// Takes what came next.
  mutating func append(_ piece: some Collection<UInt8>) {
    bytes.append(contentsOf: piece.suffix(Self.longestBytes))
    isCut = isCut || piece.count > Self.longestBytes || bytes.count > Self.longestBytes
    bytes.removeFirst(max(0, bytes.count - Self.longestBytes))
  }

  /// As text, without white space around it; whole lines where it was cut.
  var text: String {
    var text = String(decoding: bytes, as: UTF8.self)[...]
    if isCut {
      let line = text.firstIndex(where: \.isNewline).map { text[text.index(after: $0)...] }
      text = line.flatMap { $0.allSatisfy(\.isWhitespace) ? nil : $0 } ?? text.drop { $0 == "\u{fffd}" }
    }
    text = text.drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return isCut && !text.isEmpty ? "…\(text)" : String(text)
  }
}
