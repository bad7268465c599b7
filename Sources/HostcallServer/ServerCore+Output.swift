import Glibc
import HostcallBridge
import HostcallLoop
import HostcallWire

/// What goes out, turn by turn, and connections that end.
extension ServerCore {
  /// Everything that this turn has brought goes out, one write a peer, and the timer is set for what comes next.
  func endTurn() {
    while let peer = dirty.popLast() {
      connections.markClean(peer)
      if let connection = connections.find(peer) { flush(connection) }
      if dirty.isEmpty { settle() }
    }
    if supervises { superviseTurn() }
    letModestPeersRun()
    armTimer()
    shrinkAfterBurst()
    noteLoad()
    noteIdling()
    if phase == .leaving, bridge.isDrained { linger() }
    endIfOver()
  }

  /// Lets whoever was woken run before this thread goes on with what one peer has a lot of: they may wait for the very
  /// processor that it runs on, for as long as the scheduler lets it go on, which can be milliseconds.
  func letModestPeersRun() {
    guard mayKeepOthersWaiting else { return }
    mayKeepOthersWaiting = false
    sched_yield()
  }

  func flush(_ connection: Connection) {
    if case .failed(let code) = connection.stream.flush() {
      connection.reason = LoopError.text(ofCode: code)
      return lose(connection)
    }
    let waiting = connection.stream.output.queuedBytes
    bridge.peerHasTaken(
      connection.peer, sentBytes: connection.stream.output.sentBytes, now: loop.nowNanoseconds(), into: &actions)
    if waiting > connection.outputBytesBeforeClose {
      bridge.peerIsStuck(connection.peer, into: &actions)
    } else if waiting > connection.outputBytesBeforePause {
      connection.isBacklogged = true
      bridge.peerIsBacklogged(connection.peer)
      // A worker is heard nevertheless: it may have to get rid of a completion before it reads on.
      if !connection.isPaused, !bridge.isWorking(connection.peer) {
        connection.isPaused = true
        connection.stream.pauseReading()
      }
    } else if waiting <= connection.outputBytesBeforePause / 2, connection.isBacklogged {
      connection.isBacklogged = false
      if connection.isPaused {
        connection.isPaused = false
        connection.stream.startReading()
      }
      bridge.peerCanTakeMore(connection.peer, now: loop.nowNanoseconds(), into: &actions)
    }
  }

  /// The connection has ended: the bridge hears of it, with what had not left.
  func lose(_ connection: Connection) {
    guard !connection.isClosed else { return }
    connection.isClosed = true
    connections.remove(connection.peer)
    let stream = connection.stream
    let names = bridge.nameCount(of: connection.peer)
    bridge.peerIsGone(
      connection.peer, sentBytes: stream.output.sentBytes, now: loop.nowNanoseconds(), into: &actions
    ) { end, byteCount in
      let descriptors = stream.output.descriptors(ofFrameEndingAt: end).map { ChargedDescriptors($0) }
      if let large = stream.output.owner(ofFrameEndingAt: end) as? LargeBody {
        return UnsentFrame(endOf: large, descriptors: descriptors)
      }
      return stream.output.withFrame(endingAt: end, byteCount: byteCount) {
        UnsentFrame(bytes: $0, descriptors: descriptors)
      }
    }
    perform()
    stream.close()
    goneSinceShrinking += 1 + names
    for listener in listeners { listener.resume() }
    report(.debug, "peer disconnected", describe(connection.credentials) + [("reason", connection.reason)])
  }
}
