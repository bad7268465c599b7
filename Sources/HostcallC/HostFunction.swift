import CHostcall
import HostcallClient
import HostcallFunctions
import HostcallLoop

/// A host function that a C program has given.
///
/// `@unchecked Sendable` rule: constants only; the functions are the caller's, made fit for any thread.
final class HostFunction: @unchecked Sendable {
  let function: hostcall_function
  let userData: UserData
  let onCancel: hostcall_cancel_function?
  let onItem: hostcall_item_function?
  let onRoom: hostcall_room_function?

  init(_ function: @escaping hostcall_function, _ userData: UserData, _ options: hostcall_function_options?) {
    self.function = function
    self.userData = userData
    onCancel = options?.on_cancel
    onItem = options?.on_item
    onRoom = options?.on_room
  }
}

/// A name that a context has registered, with the host function that answers it now.
final class RegisteredName: Sendable {
  private struct State {
    var function: HostFunction
    /// Nil until the daemon was asked, and after the end.
    var registration: HostcallRegistration?
    var isEnded = false
    /// Whether the daemon has taken it.
    var isEstablished = false
  }

  private let state: HeapLock<State>

  init(_ function: HostFunction) {
    state = HeapLock(State(function: function))
  }

  var function: HostFunction { state.withLock { $0.function } }

  /// Another function answers from now on; false where the daemon has not taken the first one yet.
  func replace(_ function: HostFunction) -> Bool {
    // The old one's end is no code for inside a lock.
    let old = state.withLock { state -> HostFunction? in
      guard state.isEstablished, !state.isEnded else { return nil }
      defer { state.function = function }
      return state.function
    }
    return old != nil
  }

  func establish() {
    state.withLock { $0.isEstablished = true }
  }

  /// The daemon was asked. Where the name was removed meanwhile, that is told next.
  func begin(_ registration: HostcallRegistration) {
    let isEnded = state.withLock { state in
      if !state.isEnded { state.registration = registration }
      return state.isEnded
    }
    if isEnded { registration.unregister { _ in } }
  }

  /// The registration, which is let go of: it refers to this, and they would keep each other.
  func end() -> HostcallRegistration? {
    state.withLock { state in
      state.isEnded = true
      return state.registration.take()
    }
  }
}
