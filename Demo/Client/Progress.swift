/// A bar on a terminal, nothing anywhere else.
struct Progress {
  private static let width = 40
  private let total: Int
  private var done = 0
  private var shown = -1

  init(total: Int) {
    self.total = total
  }

  mutating func advance() {
    done += 1
    guard Report.isTerminal, total > 0 else { return }
    let percent = done * 100 / total
    guard percent != shown else { return }
    shown = percent
    let filled = Self.width * done / total
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: Self.width - filled)
    Report.write("\r    [\(bar)] \(percent)% of \(total)")
  }

  /// Takes the bar away.
  func end() {
    if Report.isTerminal, shown >= 0 { Report.write("\r\u{1b}[K") }
  }
}
