import CLibuv
import Glibc

/// A thread that runs one libuv loop, as a serial executor for actors.
///
/// Thread: `enqueue`, `execute`, `stop`, `isCurrent` and `nowNanoseconds` from any; everything else, and every handle,
/// on the loop thread only. Jobs and work run in the order in which they were handed in, and none is ever dropped:
/// what arrives after the loop has stopped runs on a stand-in thread, one at a time, on which `isCurrent` holds too.
/// (Not inline on the calling thread: that one may hold a lock, or be in the middle of suspending the very task.)
/// By then every handle is closed, and methods of closed handles do nothing.
///
/// The thread keeps the loop alive until `stop()`, so a loop that is never stopped lives as long as the process.
///
/// `@unchecked Sendable` rule: constants and the lock may be used by any thread, `uv_async_send` only under the lock,
/// and every other stored property only on the loop thread, which each method checks.
package final class EventLoop: SerialExecutor, @unchecked Sendable {
  /// The libuv loop; freed when the loop has stopped.
  ///
  /// Loop thread.
  let uvLoop: UnsafeMutablePointer<uv_loop_t>
  let wakeUp: UnsafeMutablePointer<uv_async_t>
  let inbox = HeapLock(LoopInbox())
  /// Set once before the thread can be stopped, read once by whoever joins it.
  let thread = HeapLock<SystemThread?>(nil)
  private let threadKey = LoopThreadKey.key

  /// The handles that are not closed yet.
  ///
  /// Loop thread.
  final var openHandles = OpenHandles()
  /// Whether `stop()` has reached the loop thread; from then on no handle can be opened.
  ///
  /// Loop thread.
  final var isStopping = false
  /// The spare output chunks of the loop's streams.
  ///
  /// Loop thread.
  package let chunkPool = ChunkPool()
  /// What messages bring besides bytes, while one is read.
  ///
  /// Loop thread.
  let controlRoom = ControlMessage.Room()
  /// The spare memory for what is too large for chunks.
  ///
  /// Any thread.
  package let segmentPool = SegmentPool()
  /// The empty array that `drain` exchanges for the inbox's.
  ///
  /// Loop thread.
  final var taken: ContiguousArray<LoopInbox.Item> = []

  /// Starts the thread and its loop; both are ready when this returns.
  ///
  /// `threadName` shows in `top -H` and is cut to 15 bytes. Errors: `EMFILE`, `ENOMEM`, `EAGAIN`.
  package init(threadName: String) throws(LoopError) {
    let loop = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
    var code = uv_loop_init(loop)
    guard code == 0 else {
      loop.deallocate()
      throw LoopError(attempted: "start an event loop", code: code)
    }
    let wakeUp = UnsafeMutablePointer<uv_async_t>.allocate(capacity: 1)
    code = uv_async_init(loop, wakeUp) { EventLoop.recover($0).drain() }
    guard code == 0 else {
      uv_loop_close(loop)
      loop.deallocate()
      wakeUp.deallocate()
      throw LoopError(attempted: "start an event loop", code: code)
    }
    uvLoop = loop
    self.wakeUp = wakeUp
    // Not retained: the thread retains the loop for as long as the wake-up exists.
    wakeUp.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    do throws(LoopError) {
      let started = try startThread(named: threadName) { $0.run() }
      thread.withLock { $0 = started }
    } catch {
      closeWakeUp()
      finishLoop()
      throw error
    }
  }

  /// Whether the calling thread is the loop's: the only one that may touch its handles.
  package var isCurrent: Bool {
    pthread_getspecific(threadKey) == UnsafeMutableRawPointer(Unmanaged.passUnretained(self).toOpaque())
  }

  /// Stops the process if the calling thread is not the loop's.
  @inline(__always)
  package func preconditionIsCurrent(_ what: StaticString) {
    precondition(isCurrent, "\(what) is for the loop thread only")
  }

  /// Nanoseconds of a clock that never goes back, from an arbitrary start.
  ///
  /// Any thread.
  package func nowNanoseconds() -> UInt64 {
    uv_hrtime()
  }

  /// How many handles are not closed yet, closing ones included.
  ///
  /// Loop thread.
  package var openHandleCount: Int {
    preconditionIsCurrent("openHandleCount")
    return openHandles.count
  }

  /// The loop of a wake-up, for its callback.
  ///
  /// Rule: the thread retains the loop until the wake-up is closed.
  private static func recover(_ wakeUp: UnsafeMutablePointer<uv_async_t>?) -> EventLoop {
    guard let data = wakeUp?.pointee.data else { preconditionFailure("a wake-up without its loop") }
    return Unmanaged<EventLoop>.fromOpaque(data).takeUnretainedValue()
  }
}
