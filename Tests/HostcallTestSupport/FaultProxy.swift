import Glibc
import HostcallLoop

/// A socket in front of the daemon's that passes on what comes, badly: in fragments, late, not to the end, or wrong.
///
/// Connections go on independently of each other. What happens to them follows the seed, and when it happens the time
/// that it takes to pass bytes on. One thread does it all; `stop()` ends it.
///
/// `@unchecked Sendable` rule: only the thread touches the links and counts until `stop()` has joined it.
package final class FaultProxy: @unchecked Sendable {
  /// What it does to what it passes on.
  package struct Behaviour: Sendable {
    /// Of a hundred pieces, how many are read and written a few bytes at a time.
    package var fragmentPercent = 30
    /// Of a hundred pieces, how many are held back, and for how long at most.
    package var delayPercent = 5
    package var largestDelayMilliseconds = 3
    /// Of a hundred connections, how many end early, and after how many bytes at most.
    package var endPercent = 60
    package var largestBytesBeforeEnd = 400_000
    /// One of so many bytes is changed, dropped or doubled; 0 for none.
    package var corruptOneInBytes = 0

    package init() {}
  }

  /// How often it did what.
  package struct Counts: Sendable {
    package var connections = 0
    package var bytes = 0
    package var delays = 0
    package var cuts = 0
    package var resets = 0
    package var corruptions = 0
  }

  package let path: String
  let target: String
  let behaviour: Behaviour
  var random: SeededGenerator
  var links: [ProxyLink] = []
  var counts = Counts()
  private let listener: Int32
  /// Shutting down the second tells the thread, which waits for the first to be readable.
  private let stopSignal: (Int32, Int32)
  private var thread: SystemThread?

  /// Listens on `path` and connects each that comes to `target`.
  package init(path: String, target: String, seed: UInt64, behaviour: Behaviour = Behaviour()) throws {
    self.path = path
    self.target = target
    self.behaviour = behaviour
    random = SeededGenerator(seed: seed)
    listener = try UnixSocket.listen(path: path, backlog: 128, mode: 0o600)
    stopSignal = try UnixSocket.pair()
    thread = try SystemThread(named: "fault-proxy") { self.run() }
  }

  /// Ends every connection and the thread; gives what was done.
  @discardableResult
  package func stop() -> Counts {
    guard let thread else { return counts }
    self.thread = nil
    shutdown(stopSignal.1, Int32(SHUT_RDWR))
    thread.join()
    for link in links { link.close() }
    for descriptor in [listener, stopSignal.0, stopSignal.1] { close(descriptor) }
    unlink(path)
    return counts
  }

  private func run() {
    while true {
      var polled = [
        pollfd(fd: stopSignal.0, events: Int16(POLLIN), revents: 0),
        pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
      ]
      let now = MonotonicTime.nanoseconds()
      var wake = UInt64.max
      for link in links { wake = min(wake, link.appendInterests(to: &polled, now: now)) }
      let wait = wake == .max ? -1 : Int32(clamping: (max(wake, now) - now) / 1_000_000 + 1)
      guard poll(&polled, nfds_t(polled.count), wait) >= 0 || errno == EINTR else { return }
      if polled[0].revents != 0 { return }
      for (index, link) in links.enumerated() {
        link.pass(
          Array(polled[(2 + index * ProxyLink.interestCount)...].prefix(ProxyLink.interestCount)), proxy: self)
      }
      links.removeAll { $0.isClosed }
      if polled[1].revents != 0 { accept() }
    }
  }

  private func accept() {
    let client = SocketListener.accept(on: listener)
    guard client >= 0 else { return }
    do throws(LoopError) {
      let server = try UnixSocket.connect(path: target)
      counts.connections += 1
      links.append(ProxyLink(client: client, server: server, random: &random, behaviour: behaviour))
    } catch {
      close(client)
    }
  }
}
