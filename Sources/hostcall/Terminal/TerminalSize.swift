import Glibc

/// How wide a terminal is.
enum TerminalSize {
  /// Where nothing else is known, as when the output goes to a file.
  static let usualColumns = 80

  /// The columns of the terminal that a descriptor is; nil where it is none, or does not say.
  static func columns(of descriptor: Int32) -> Int? {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }
}
