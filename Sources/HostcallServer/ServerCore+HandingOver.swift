import Glibc
import HostcallBridge
import HostcallLoop
import HostcallWire

/// Restart without loss: everything goes to the next process of the daemon as it is, and nobody but the two notices.
///
/// Between two turns of the loop nothing is in the middle of something: what was read is with the bridge, or is kept as the
/// beginning of a frame; what was not wholly sent lies in the connections' queues; the rest waits in the kernel.
extension ServerCore {
  // MARK: Leaving

  /// Packs everything up and gives it to `keep`, which ends this process if it can. Where it cannot, the server leaves as
  /// it does without another process: calls that run may end.
  func handOver(to keep: (Int32) throws -> Never) {
    guard phase == .serving else { return }
    settle()
    do {
      guard bridge.canBeHandedOver else {
        throw LoopError(attempted: "hand over", code: EBUSY, reason: "this process has calls of its own")
      }
      let parcel = try handedOver().pack()
      // The next process wishes for itself.
      forgetWishes()
      report(
        .notice, "handing over",
        [("connections", "\(bridge.connections)"), ("calls", "\(bridge.callsInFlight)")])
      defer { close(parcel) }
      try keep(parcel)
    } catch {
      report(.error, "not handed over, shutting down instead", [("error", "\(error)")])
      leave(grace: configuration.shutdownGrace)
      leavesUnasked = true
    }
  }

  private func handedOver() throws(StateError) -> HandedOver {
    let stopped = loop.nowNanoseconds()
    var coder = StateCoder()
    let connections = connections.all
    try bridge.code(&coder)
    for connection in connections { try connection.write(&coder) }
    var own: HandedOver.Listener?
    if place != nil, let path = configuration.socketPath, let listener = listeners.first {
      own = HandedOver.Listener(path: path, descriptor: listener.descriptor)
    }
    return HandedOver(
      state: coder.bytes, connections: connections.map(\.stream.descriptor),
      passed: coder.descriptors.map { batch in
        let passed = (batch as? ChargedDescriptors)?.passed?.numbers ?? []
        return HandedOver.PassedBatch(descriptors: passed, count: UInt32(batch.count))
      },
      listener: own, stoppedNanoseconds: stopped)
  }

  // MARK: Taking over

  /// Takes up the connections that came with the state which the bridge has read. On the loop thread, before anything else.
  func takeUp(_ inherited: HandedOver, _ rest: inout StateCoder) {
    var problem: StateError?
    for descriptor in inherited.connections {
      // After a state that makes no sense whose is whose cannot be told.
      if problem != nil {
        close(descriptor)
        continue
      }
      do throws(StateError) {
        var state = ConnectionState()
        try state.code(&rest)
        takeUp(descriptor, state)
      } catch {
        close(descriptor)
        problem = error
      }
    }
    if problem == nil, !rest.isAtEnd { problem = StateError("something is left over in it") }
    if let problem { configuration.onEvent(HandedOver.notTakenOver(problem.description)) }
    // Who has no connection, if only for want of memory, is gone.
    for peer in bridge.remotePeers where connections.find(peer) == nil {
      bridge.peerIsGone(peer, sentBytes: 0, now: loop.nowNanoseconds(), into: &actions) { _, _ in nil }
    }
    _ = bridge.setPolicy(configuration.policy, now: loop.nowNanoseconds(), into: &actions)
    perform()
    for connection in connections.all {
      begin(connection)
      flush(connection)
    }
    let now = loop.nowNanoseconds()
    let gap = (now - min(now, inherited.stoppedNanoseconds)) / 1_000
    report(
      .notice, "took over",
      [
        ("connections", "\(bridge.connections)"), ("calls", "\(bridge.callsInFlight)"), ("gap-us", "\(gap)"),
      ])
  }

  private func takeUp(_ descriptor: Int32, _ state: ConnectionState) {
    let stream: SocketStream
    do throws(LoopError) {
      stream = try SocketStream(loop, descriptor: descriptor)
    } catch {
      close(descriptor)
      return report(.warning, "connection dropped", [("error", error.description)])
    }
    do throws(StateError) {
      guard let credentials = try? stream.peerCredentials(), connections.find(state.peer) == nil,
        bridge.remoteIdentity(of: state.peer) == PeerIdentity(credentials)
      else { throw StateError("it is not of the peer at the other end") }
      let connection = try Connection(
        state, stream: stream, credentials: credentials, limits: bridge.limits(of: state.peer),
        segments: loop.segmentPool)
      connections.insert(connection)
      bridge.peerKeeps(connection.peer, inputBytes: connection.keptBytes, into: &actions)
    } catch {
      stream.close()
      report(.warning, "connection dropped", [("error", "its state cannot be taken over: \(error)")])
    }
  }
}
