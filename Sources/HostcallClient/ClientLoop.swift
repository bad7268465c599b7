import HostcallFunctions
import HostcallLoop

/// The one loop thread that all clients of a process share.
///
/// It starts with the first client and stays.
enum ClientLoop {
  private static let started = HeapLock<EventLoop?>(nil)

  /// The loop.
  ///
  /// Any thread. Errors: its thread cannot be started; trying again later may do.
  static func shared() throws(HostcallError) -> EventLoop {
    do throws(LoopError) {
      return try started.withLock { started throws(LoopError) in
        if let started { return started }
        let loop = try EventLoop(threadName: "hostcall-client")
        started = loop
        return loop
      }
    } catch {
      throw HostcallError(.cannotConnect, message: error.description)
    }
  }

  /// Where every connection reads to, one at a time, so that idle ones hold no buffer.
  ///
  /// It is never freed.
  ///
  /// Rule that makes it right: only code on the loop thread touches the bytes, and it keeps none past its own turn.
  nonisolated(unsafe) static let readBuffer = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 256 << 10, alignment: 64)
}
