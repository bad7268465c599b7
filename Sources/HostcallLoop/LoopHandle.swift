import CLibuv

/// What every libuv handle of this module is: memory, one retain, and a state.
///
/// Thread: the loop thread, for everything. Every method checks it.
///
/// A handle keeps itself (and what its callbacks capture) alive from its making to the end of its closing, whether or
/// not anyone else refers to it; `close()` is what breaks that cycle. Stopping the loop closes every handle still open.
/// Methods of a handle that is closing or closed do nothing. No callback comes after `close()`.
public class LoopHandle {
  /// Where a handle is in its life.
  enum State {
    /// Memory is not there yet, libuv does not know of it. To `open`, or to `closed` when libuv refuses.
    case opening
    /// libuv may call back. To `closing`, by `close()`.
    case open
    /// `uv_close` was called, its callback has not come. To `closed`.
    case closing
    /// The memory is freed. The end.
    case closed
  }

  /// The loop that the handle belongs to.
  package let loop: EventLoop
  private(set) final var state = State.opening
  /// Where the handle stands in the loop's list; kept by `OpenHandles`.
  final var indexInLoop = -1
  /// The `uv_…_t`, from `allocate`, so that its address never changes; nil before opening and after closing.
  private final var memory: UnsafeMutableRawPointer?

  /// Whether the handle can still call back and be used.
  package final var isOpen: Bool { state == .open }

  init(_ loop: EventLoop) {
    self.loop = loop
  }

  deinit {
    precondition(state == .closed || state == .opening, "a handle was released while \(state)")
  }

  /// Allocates the libuv handle and has `initialise` set it up; returns 0 or libuv's code.
  ///
  /// With a code other than 0 the handle is `closed`. So it is, with `UV_ECANCELED`, on a loop that is stopping.
  final func open<Kind>(
    _ kind: Kind.Type, _ initialise: (UnsafeMutablePointer<uv_loop_t>, UnsafeMutablePointer<Kind>) -> Int32
  ) -> Int32 {
    loop.preconditionIsCurrent("opening a handle")
    precondition(state == .opening, "a handle that is \(state) cannot be opened")
    guard !loop.isStopping else {
      state = .closed
      return UV_ECANCELED.rawValue
    }
    let typed = UnsafeMutablePointer<Kind>.allocate(capacity: 1)
    let code = initialise(loop.uvLoop, typed)
    guard code == 0 else {
      // libuv's init functions fail before they enter the handle into the loop, so the memory is still ours alone.
      typed.deallocate()
      state = .closed
      return code
    }
    memory = UnsafeMutableRawPointer(typed)
    // The one retain of the handle's life, taken back in `finishClosing`.
    uvHandle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    state = .open
    loop.openHandles.insert(self)
    return 0
  }

  /// Ends the handle: no callback comes any more, what it owns is given back.
  ///
  /// Closing twice does nothing.
  package final func close() {
    loop.preconditionIsCurrent("close()")
    guard state == .open else { return }
    state = .closing
    uv_close(uvHandle) { LoopHandle.finishClosing($0) }
    didBeginClosing()
  }

  /// Gives back what must not outlive the polling, such as a descriptor: `uv_close` has just been called.
  func didBeginClosing() {}

  /// Lets go of callbacks: libuv has forgotten the handle.
  func didClose() {}

  /// Takes back the retain of `open` and frees the memory, at the end of the turn in which `close()` was called.
  private static func finishClosing(_ pointer: UnsafeMutablePointer<uv_handle_t>?) {
    guard let data = pointer?.pointee.data else { preconditionFailure("a libuv handle without its owner") }
    let handle = Unmanaged<LoopHandle>.fromOpaque(data).takeRetainedValue()
    precondition(handle.state == .closing, "a handle was closed while \(handle.state)")
    handle.memory?.deallocate()
    handle.memory = nil
    handle.state = .closed
    handle.didClose()
    handle.loop.handleDidClose(handle)
  }

  /// The libuv handle as the type it was opened with.
  ///
  /// Only while open.
  final func uvPointer<Kind>(_ kind: Kind.Type) -> UnsafeMutablePointer<Kind> {
    guard let memory else { preconditionFailure("a handle that is \(state) has no memory") }
    return memory.assumingMemoryBound(to: kind)
  }

  private final var uvHandle: UnsafeMutablePointer<uv_handle_t> { uvPointer(uv_handle_t.self) }

  /// The Swift object of a libuv handle, for callbacks.
  ///
  /// The rule that makes it right: `data` holds a retain from `open` to `finishClosing`, and libuv calls nothing
  /// outside of that; the type is the one that started the callback, and debug builds check it.
  static func recover<Kind>(_ pointer: UnsafeMutablePointer<Kind>?) -> Self {
    let handle = UnsafeMutableRawPointer(pointer)?.assumingMemoryBound(to: uv_handle_t.self)
    guard let data = handle?.pointee.data else { preconditionFailure("a libuv handle without its owner") }
    return unsafeDowncast(Unmanaged<LoopHandle>.fromOpaque(data).takeUnretainedValue(), to: self)
  }
}
