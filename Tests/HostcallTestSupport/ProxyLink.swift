import Glibc

/// One connection through a proxy: two sockets, and what is on its way between them in each direction.
final class ProxyLink {
  /// How it ends, if not by one of its ends.
  private enum Fate {
    case none
    /// After so many bytes in all, between any two of them.
    case cut(after: Int)
    /// After so many bytes, with something unread, so that who sent it is told that it was reset.
    case reset(after: Int)
  }

  /// What is on its way in one direction.
  private struct Direction {
    let from: Int32
    let to: Int32
    var bytes: [UInt8] = []
    /// Nothing is passed on before this time.
    var heldUntil: UInt64 = 0
    var hasEnded = false
    var isDone = false
  }

  /// How many entries each link has among those that are polled.
  static let interestCount = 4
  private static let largestBuffer = 65_536

  private var directions: [Direction]
  private let fate: Fate
  private var passedBytes = 0
  private(set) var isClosed = false

  init(client: Int32, server: Int32, random: inout SeededGenerator, behaviour: FaultProxy.Behaviour) {
    directions = [Direction(from: client, to: server), Direction(from: server, to: client)]
    let after = random.below(random.pick([300, 20_000, behaviour.largestBytesBeforeEnd]))
    if random.chance(behaviour.endPercent) {
      fate = random.oneIn(2) ? .cut(after: after) : .reset(after: after)
    } else {
      fate = .none
    }
  }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    for direction in directions {
      shutdown(direction.from, Int32(SHUT_RDWR))
      Glibc.close(direction.from)
    }
  }

  /// Says what it waits for; gives the time at which it wants to be called in any case.
  func appendInterests(to polled: inout [pollfd], now: UInt64) -> UInt64 {
    var wake = UInt64.max
    for direction in directions {
      let reads = !direction.hasEnded && direction.bytes.count < Self.largestBuffer
      polled.append(pollfd(fd: reads ? direction.from : -1, events: Int16(POLLIN), revents: 0))
      let writes = !direction.bytes.isEmpty && direction.heldUntil <= now
      polled.append(pollfd(fd: writes ? direction.to : -1, events: Int16(POLLOUT), revents: 0))
      if !direction.bytes.isEmpty, !writes { wake = min(wake, direction.heldUntil) }
    }
    return wake
  }

  /// Passes on what can be.
  func pass(_ polled: [pollfd], proxy: FaultProxy) {
    for index in directions.indices {
      if !isClosed, polled[2 * index].revents != 0 { read(index, proxy) }
      if !isClosed, polled[2 * index + 1].revents != 0 { write(index, proxy) }
      if !isClosed, directions[index].hasEnded, directions[index].bytes.isEmpty, !directions[index].isDone {
        directions[index].isDone = true
        shutdown(directions[index].to, Int32(SHUT_WR))
      }
    }
    if directions.allSatisfy({ $0.isDone }) { close() }
  }

  private func read(_ index: Int, _ proxy: FaultProxy) {
    if case .reset(let after) = fate, passedBytes >= after {
      proxy.counts.resets += 1
      return close()
    }
    let isFragment = proxy.random.chance(proxy.behaviour.fragmentPercent)
    var piece = [UInt8](repeating: 0, count: isFragment ? 1 + proxy.random.below(50) : 16_384)
    let count = recv(directions[index].from, &piece, piece.count, Int32(MSG_DONTWAIT))
    if count < 0, errno == EAGAIN { return }
    guard count > 0 else {
      directions[index].hasEnded = true
      // An error, unlike an end, is passed on at once.
      return count < 0 ? close() : ()
    }
    directions[index].bytes += corrupted(piece[..<count], proxy)
    if proxy.random.chance(proxy.behaviour.delayPercent) {
      proxy.counts.delays += 1
      let milliseconds = 1 + proxy.random.below(proxy.behaviour.largestDelayMilliseconds)
      directions[index].heldUntil = MonotonicTime.nanoseconds() + UInt64(milliseconds) * 1_000_000
    }
  }

  private func write(_ index: Int, _ proxy: FaultProxy) {
    var most = directions[index].bytes.count
    if proxy.random.chance(proxy.behaviour.fragmentPercent) { most = min(most, 1 + proxy.random.below(50)) }
    if case .cut(let after) = fate { most = min(most, after - passedBytes) }
    if most > 0 {
      let sent = directions[index].bytes.withUnsafeBytes {
        send(directions[index].to, $0.baseAddress, most, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      }
      guard sent > 0 else { return errno == EAGAIN ? () : close() }
      directions[index].bytes.removeFirst(sent)
      passedBytes += sent
      proxy.counts.bytes += sent
    }
    if case .cut(let after) = fate, passedBytes >= after {
      proxy.counts.cuts += 1
      close()
    }
  }

  private func corrupted(_ bytes: ArraySlice<UInt8>, _ proxy: FaultProxy) -> [UInt8] {
    let oneIn = proxy.behaviour.corruptOneInBytes
    guard oneIn > 0 else { return Array(bytes) }
    var changed: [UInt8] = []
    for byte in bytes {
      guard proxy.random.oneIn(oneIn) else {
        changed.append(byte)
        continue
      }
      proxy.counts.corruptions += 1
      switch proxy.random.below(4) {
      case 0: break
      case 1: changed += [byte, byte]
      case 2: changed.append(byte ^ 1 << UInt8(proxy.random.below(8)))
      default: changed.append(UInt8(proxy.random.below(256)))
      }
    }
    return changed
  }
}
