import CLibuv
import Glibc

/// Accepts connections on a listening socket.
///
/// When the process or the system is out of descriptors or memory it does not spin on the connection that it cannot
/// accept: it reports once, waits, and tries again every 100 ms, or at `resume()`. It reports again only after a
/// connection has been accepted in between.
///
/// Thread: the loop thread.
package final class SocketListener: LoopHandle {
  /// How many connections are accepted before others on the loop have their turn.
  package static let maximumAcceptsPerTurn = 2
  /// How long a listener that could not accept waits before it tries again.
  package static let retryMilliseconds: UInt64 = 100

  package let descriptor: Int32
  private let accept: (Int32) -> Int32
  private var onAccept: ((Int32) -> Void)?
  private var onFailure: ((LoopError) -> Void)?
  private var retryTimer: LoopTimer?
  private var isPaused = false
  private var failureIsReported = false

  /// Starts accepting on a bound and listening socket, which the listener owns from now on and closes in `close()`.
  ///
  /// `onAccept` owns the descriptor it gets, non-blocking and closed on exec. Errors: libuv's, when the descriptor
  /// cannot be polled or the loop is stopping; the descriptor then stays the caller's.
  package convenience init(
    _ loop: EventLoop, descriptor: Int32, onAccept: @escaping (Int32) -> Void,
    onFailure: @escaping (LoopError) -> Void
  ) throws(LoopError) {
    try self.init(
      loop, descriptor: descriptor, accept: SocketListener.accept(on:), onAccept: onAccept, onFailure: onFailure)
  }

  /// The same with another `accept`, which answers as `accept4` does.
  ///
  /// For tests: a limit on descriptors is the whole process's, and libdispatch traps when it meets it.
  init(
    _ loop: EventLoop, descriptor: Int32, accept: @escaping (Int32) -> Int32, onAccept: @escaping (Int32) -> Void,
    onFailure: @escaping (LoopError) -> Void
  ) throws(LoopError) {
    self.descriptor = descriptor
    self.accept = accept
    self.onAccept = onAccept
    self.onFailure = onFailure
    super.init(loop)
    let code = open(uv_poll_t.self) { uv_poll_init($0, $1, descriptor) }
    guard code == 0 else { throw LoopError(attempted: "accept connections", code: code) }
    startPolling()
  }

  /// Accepts one connection, non-blocking and closed on exec; -1 leaves the reason in `errno`.
  package static func accept(on descriptor: Int32) -> Int32 {
    accept4(descriptor, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
  }

  /// Whether somebody waits to be accepted.
  package var hasWaiting: Bool {
    var interest = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&interest, 1, 0) > 0
  }

  /// Tries again at once when accepting is paused, for instance because a connection was closed.
  package func resume() {
    loop.preconditionIsCurrent("SocketListener.resume")
    guard isOpen, isPaused else { return }
    isPaused = false
    retryTimer?.cancel()
    startPolling()
  }

  private func startPolling() {
    let code = uv_poll_start(
      uvPointer(uv_poll_t.self), Int32(UV_READABLE.rawValue),
      { handle, status, _ in SocketListener.recover(handle).becameReadable(status: status) })
    precondition(code == 0, "uv_poll_start failed with \(code)")
  }

  private func becameReadable(status: Int32) {
    // After an error on the socket libuv has stopped polling; accepting says what the error is.
    var attempts = 0
    while isOpen, attempts < Self.maximumAcceptsPerTurn {
      attempts += 1
      let accepted = accept(descriptor)
      if accepted >= 0 {
        failureIsReported = false
        onAccept?(accepted)
        continue
      }
      switch errno {
      case EAGAIN: return status < 0 ? pause(code: EBADF) : ()
      // The one who connected has left, or a signal came: that says nothing about the next one.
      case ECONNABORTED, EPROTO, EINTR: continue
      default: return pause(code: errno)
      }
    }
    if isOpen, status < 0 { startPolling() }
  }

  private func pause(code: Int32) {
    isPaused = true
    uv_poll_stop(uvPointer(uv_poll_t.self))
    let timer = retryTimer ?? LoopTimer(loop) { [unowned self] in resume() }
    retryTimer = timer
    timer.schedule(afterMilliseconds: Self.retryMilliseconds)
    guard !failureIsReported else { return }
    failureIsReported = true
    let outOfDescriptors = code == EMFILE || code == ENFILE
    let advice = outOfDescriptors ? "raise the limit on open files" : nil
    onFailure?(LoopError(attempted: "accept a connection", code: code, advice: advice))
  }

  override func didBeginClosing() {
    // After `uv_close`, which has taken the descriptor out of the epoll set: the number may be used again at once.
    Glibc.close(descriptor)
    retryTimer?.close()
    retryTimer = nil
  }

  override func didClose() {
    onAccept = nil
    onFailure = nil
  }
}
