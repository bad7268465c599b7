import CHostcall

/// A pointer that a C caller has lent, with what gives it back: `release` runs once, when nobody has the pointer any more.
///
/// `@unchecked Sendable` rule: the pointer is only handed to the caller's own callbacks, which the caller has made fit for
/// any thread.
final class UserData: @unchecked Sendable {
  let pointer: UnsafeMutableRawPointer?
  private var release: hostcall_release_function?
  private let dispatcher: Dispatcher

  /// - Parameter dispatcher: runs `release`, and does not end before.
  init(_ pointer: UnsafeMutableRawPointer?, _ release: hostcall_release_function?, _ dispatcher: Dispatcher) {
    self.pointer = pointer
    self.release = release
    self.dispatcher = dispatcher
    dispatcher.hold()
  }

  /// It stays the caller's: what it was lent for did not come about. Before anything else can have it.
  func giveBack() {
    release = nil
  }

  deinit {
    // Nothing may refer to this object any more when `release` runs.
    let last = Last(pointer: pointer, release: release)
    dispatcher.letGo { last.run() }
  }

  private struct Last: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer?
    let release: hostcall_release_function?

    func run() { release?(pointer) }
  }
}
