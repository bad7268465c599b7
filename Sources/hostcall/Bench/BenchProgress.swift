import Glibc

/// A line on standard error that grows while `bench` runs, where that is a terminal.
struct BenchProgress: Sendable {
  /// How often it is drawn.
  static let interval: Duration = .milliseconds(100)

  let plan: BenchPlan

  /// Draws until the task is cancelled, and then takes the line away.
  func draw(_ board: BenchBoard) async {
    guard isatty(STDERR_FILENO) == 1 else { return }
    while !Task.isCancelled {
      let width = TerminalSize.columns(of: STDERR_FILENO) ?? TerminalSize.usualColumns
      Self.show("\r" + line(ended: board.ended, elapsed: board.now, width: width) + "\u{1b}[K")
      try? await Task.sleep(for: Self.interval)
    }
    Self.show("\r\u{1b}[K")
  }

  /// The line: a bar, percent, calls and seconds, in less than `width` columns.
  func line(ended: Int, elapsed: Duration, width: Int) -> String {
    let seconds = elapsed / .seconds(1)
    let share = min(
      1, max(plan.mostCalls.map { Double(ended) / Double(max(1, $0)) } ?? 0, plan.seconds.map { seconds / $0 } ?? 0))
    let figures = "\(Int(share * 100))%  \(ended) calls  \(HumanText.duration(seconds: seconds))"
    let barWidth = width - figures.count - 4
    guard barWidth >= 10 else { return String(figures.prefix(max(0, width - 1))) }
    let filled = Int(share * Double(barWidth))
    return "▕" + String(repeating: "█", count: filled) + String(repeating: " ", count: barWidth - filled) + "▏ "
      + figures
  }

  /// Writes what can be written at once: nobody waits for a terminal that has been stopped.
  private static func show(_ text: String) {
    var interest = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
    if poll(&interest, 1, 0) > 0 { try? StandardStreams.write(Array(text.utf8), to: STDERR_FILENO) }
  }
}
