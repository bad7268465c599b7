import CLibuv
import Glibc

/// A connected Unix stream socket on a loop: reads when told to, and sends what its queue holds.
///
/// Thread: the loop thread. The stream owns its descriptor and closes it in `close()`. An idle stream holds no buffer.
///
/// The stream does nothing by itself but send what a `flush()` could not: the owner reads in `onReadable`, appends to
/// `output`, and flushes. What is left in `output` when the stream is closed is dropped.
public final class SocketStream: LoopHandle {
  package let descriptor: Int32
  /// What libuv watches the descriptor for; 0 when it does not.
  private var watchedEvents: Int32 = 0
  private var isReading = false
  /// Whether a read has met the end or an error, after which watching would only spin.
  var readingIsOver = false
  /// Whether a flush has left something that goes out when the socket can take more.
  var awaitsWritable = false
  /// Whether libuv is let tell once more that the socket can take more although nothing waits: what has filled the socket
  /// is likely to have more to come, and each change of what is watched for costs two system calls.
  private var watchesWritableOnceMore = false
  /// The `errno` value that sending has ended with, or 0.
  var sendFailure: Int32 = 0
  private var hangUpIsReported = false
  var readingShortage = Shortage()
  var sendingShortage = Shortage()
  /// Ends a rest after a shortage; made when the first one is met.
  var shortageTimer: LoopTimer?
  /// How many descriptors have left since the peer was last seen to have read everything, and how often in a row it was
  /// seen not to have.
  var unreceivedDescriptors = 0
  var looksForReader = 0
  /// Whether any descriptor has ever come.
  var hasBroughtDescriptors = false
  /// What came with the last read and has not been taken.
  var receivedDescriptors: PassedDescriptors?

  /// Whether descriptors that the peer sends are kept for `takeReceivedDescriptors()`, or closed at once.
  package var acceptsDescriptors = false
  /// Called while reading is on and there are bytes, the end, or an error: `read` says which.
  ///
  /// It is called again in the next turn as long as something is left to read.
  package var onReadable: (() -> Void)?
  /// Called when what an earlier `flush()` left has gone on: `flush()` says whether it has all gone, or failed.
  package var onWritable: (() -> Void)?
  /// Called at most once, if the peer closes its side (or dies) while reading is paused.
  ///
  /// Without it no one looks.
  package var onHangUpWhilePaused: (() -> Void)? {
    didSet { updateWatching() }
  }
  /// The frames on their way out.
  ///
  /// Not to be appended to once the stream is closed.
  ///
  /// At an address of its own, where accesses are not checked for overlapping, for the check costs more than an append
  /// does: the queue belongs to one thread, and no code of the owner runs inside one of its methods but `fill` and
  /// `withFrame`'s body, which must leave the stream alone.
  package var output: OutputQueue {
    @inline(__always) unsafeAddress { UnsafePointer(outputAddress) }
    @inline(__always) unsafeMutableAddress { outputAddress }
  }
  @usableFromInline let outputAddress = UnsafeMutablePointer<OutputQueue>.allocate(capacity: 1)

  /// Takes over a connected, non-blocking socket.
  ///
  /// Reading is off.
  ///
  /// Errors: libuv's, when the descriptor cannot be polled or the loop is stopping; it then stays the caller's.
  package init(_ loop: EventLoop, descriptor: Int32) throws(LoopError) {
    self.descriptor = descriptor
    outputAddress.initialize(to: OutputQueue(pool: loop.chunkPool))
    super.init(loop)
    let code = open(uv_poll_t.self) { uv_poll_init($0, $1, descriptor) }
    guard code == 0 else { throw LoopError(attempted: "use a socket", code: code) }
    // Without it a byte sent with MSG_OOB is dropped while reading, and so are descriptors with it: closed in this thread.
    var isInline: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_OOBINLINE, &isInline, socklen_t(MemoryLayout<Int32>.size))
  }

  deinit {
    outputAddress.deinitialize(count: 1)
    outputAddress.deallocate()
  }

  /// Where `output` is, for as long as this stream is. Appending there is not checked for the thread; the `flush` that
  /// must follow is.
  package var outputQueue: UnsafeMutablePointer<OutputQueue> { outputAddress }

  /// Appends a frame to `output` as `OutputQueue.appendFrame` does, put in line in other modules.
  @inlinable @inline(__always)
  public func appendFrame(byteCount: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
    // No check of the thread, for it would cost as much again; the `flush` that must follow has one.
    outputAddress.pointee.appendFrame(byteCount: byteCount, fill)
  }

  /// Appends a frame that takes descriptors along, see `OutputQueue`.
  package func appendFrame(
    byteCount: Int, descriptors: PassedDescriptors, _ fill: (UnsafeMutableRawBufferPointer) -> Void
  ) {
    output.appendFrame(byteCount: byteCount, descriptors: descriptors, fill)
  }

  /// Appends a frame whose last part is not copied, see `OutputQueue`.
  package func appendFrame(
    byteCount: Int, descriptors: PassedDescriptors?, sharing runs: [UnsafeRawBufferPointer], of owner: AnyObject,
    _ fill: (UnsafeMutableRawBufferPointer) -> Void
  ) {
    output.appendFrame(byteCount: byteCount, descriptors: descriptors, sharing: runs, of: owner, fill)
  }

  /// Who is at the other end.
  package func peerCredentials() throws(LoopError) -> PeerCredentials {
    loop.preconditionIsCurrent("SocketStream.peerCredentials")
    guard isOpen else { throw LoopError(attempted: "ask who is at the other end of a socket", code: EBADF) }
    return try PeerCredentials(ofPeerOf: descriptor)
  }

  /// Begins calling `onReadable`; after the end of the stream it does nothing.
  package func startReading() {
    loop.preconditionIsCurrent("SocketStream.startReading")
    isReading = true
    updateWatching()
  }

  /// Stops calling `onReadable`, so that a peer that sends too much has to wait.
  package func pauseReading() {
    loop.preconditionIsCurrent("SocketStream.pauseReading")
    isReading = false
    updateWatching()
  }

  /// Tells libuv what to watch for, if that has changed: a change costs system calls.
  func updateWatching() {
    guard isOpen else { return }
    var wanted: UInt32 = 0
    if isReading, !readingIsOver, !readingShortage.isResting { wanted |= UV_READABLE.rawValue }
    if awaitsWritable ? !sendingShortage.isResting : watchesWritableOnceMore { wanted |= UV_WRITABLE.rawValue }
    if !isReading, !readingIsOver, !hangUpIsReported, onHangUpWhilePaused != nil { wanted |= UV_DISCONNECT.rawValue }
    guard Int32(wanted) != watchedEvents else { return }
    watchedEvents = Int32(wanted)
    guard wanted != 0 else {
      uv_poll_stop(uvPointer(uv_poll_t.self))
      return
    }
    let code = uv_poll_start(
      uvPointer(uv_poll_t.self), watchedEvents,
      { handle, status, events in SocketStream.recover(handle).didPoll(status: status, events: UInt32(events)) })
    precondition(code == 0, "uv_poll_start failed with \(code)")
  }

  private func didPoll(status: Int32, events: UInt32) {
    guard isOpen else { return }
    var happened = events
    if status < 0 {
      // The socket has an error, and libuv has stopped watching: whatever was awaited will tell which.
      happened = UInt32(watchedEvents)
      watchedEvents = 0
    }
    // Reading first: a peer that answers and leaves is heard before the sending to it fails.
    if happened & UV_READABLE.rawValue != 0, isReading { onReadable?() }
    if isOpen, happened & UV_DISCONNECT.rawValue != 0, !isReading { reportHangUp() }
    if isOpen, happened & UV_WRITABLE.rawValue != 0 {
      watchesWritableOnceMore = awaitsWritable
      if awaitsWritable { becameWritable() }
    }
    updateWatching()
  }

  private func reportHangUp() {
    hangUpIsReported = true
    onHangUpWhilePaused?()
  }

  func becameWritable() {
    let sentBefore = output.sentBytes
    let outcome = sendQueued()
    let hasFailed = if case .failed = outcome { true } else { false }
    if output.sentBytes != sentBefore || hasFailed { onWritable?() }
  }

  override func didBeginClosing() {
    // After `uv_close`, which has taken the descriptor out of the epoll set: the number may be used again at once.
    DescriptorCloser.shared.closeSocket(descriptor)
    output.removeAll()
    receivedDescriptors = nil
    shortageTimer?.close()
    shortageTimer = nil
  }

  override func didClose() {
    onReadable = nil
    onWritable = nil
    onHangUpWhilePaused = nil
  }
}
