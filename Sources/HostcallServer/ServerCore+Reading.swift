import HostcallBridge
import HostcallLoop
import HostcallWire

/// What comes in, read by read, and frame by frame to the bridge.
extension ServerCore {
  func readable(_ peer: PeerID) {
    guard let connection = connections.find(peer) else { return }
    let now = loop.nowNanoseconds()
    let most = connection.share.bytes(for: peer, beside: modest, now: now)
    var direct = 0
    let outcome =
      connection.readsLarge
      ? readLarge(most, from: connection, direct: &direct)
      : connection.stream.read(into: UnsafeMutableRawBufferPointer(rebasing: readBuffer.bytes[..<most]))
    switch outcome {
    case .bytes(let count):
      take(UnsafeRawBufferPointer(rebasing: readBuffer.bytes[..<(count - direct)]), from: connection, now: now)
      connection.share.took(count, of: peer, from: now, to: loop.nowNanoseconds(), &modest)
      if count == most, most < TurnShare.mostBytes { mayKeepOthersWaiting = true }
    case .wouldBlock: break
    case .endOfStream: lose(connection)
    case .failed(let code):
      connection.reason = LoopError.text(ofCode: code)
      lose(connection)
    }
    settle()
  }

  /// Reads what is missing of a large frame straight to where it stays, `direct` bytes, and what follows it into the buffer
  /// that all share; up to `most` bytes in all.
  func readLarge(_ most: Int, from connection: Connection, direct: inout Int) -> ReadOutcome {
    var room = connection.decoder.pointee.room(upTo: most)
    let directRoom = room.reduce(0) { $0 + $1.count }
    let tail = most - directRoom
    if tail > 0 { room.append(UnsafeMutableRawBufferPointer(rebasing: readBuffer.bytes[..<tail])) }
    let outcome = connection.stream.read(into: room)
    if case .bytes(let count) = outcome { direct = min(count, directRoom) }
    connection.decoder.pointee.didRead(direct)
    return outcome
  }

  /// Takes frames out of bytes that have come, one after another, and lets the bridge and the loop act on each.
  func take(_ bytes: UnsafeRawBufferPointer, from connection: Connection, now: UInt64) {
    var descriptors = ArrivedDescriptors(
      begun: connection.begunDescriptors,
      fresh: connection.stream.takeReceivedDescriptors().map { charge($0, of: connection) })
    let peer = connection.peer
    bridge.peerIsHeard(peer, now: now)
    let decoder = connection.decoder
    decoder.pointee.begin(bytes)
    do throws(ProtocolViolation) {
      let hasDescriptors = !descriptors.isEmpty
      while !connection.isClosed, try decoder.pointee.advance() {
        if hasDescriptors || decoder.pointee.frame.isLarge {
          take(decoder.pointee.frame, &descriptors, from: peer, now: now)
        } else {
          bridge.received(decoder.pointee.frame, from: peer, now: now, into: &actions)
          perform(incoming: decoder.pointee.frame.body)
          if overdue != .nobody { flushOverdue() }
        }
      }
      connection.begunDescriptors = try descriptors.rest(isBetweenFrames: decoder.pointee.isBetweenFrames)
    } catch {
      bridge.peerBrokeProtocol(connection.peer, error, into: &actions)
      perform()
    }
    decoder.pointee.end()
    if decoder.pointee.keptBytes != connection.keptBytes, !connection.isClosed {
      connection.readsLarge = decoder.pointee.missingLargeBytes > 0
      if connection.readsLarge { usesSegments = true }
      connection.keptBytes = decoder.pointee.keptBytes
      bridge.peerKeeps(connection.peer, inputBytes: decoder.pointee.keptBytes, into: &actions)
    }
  }

  /// Takes a frame that may have descriptors with it, or whose body has memory of its own.
  @inline(never)
  func take(_ frame: DecodedFrame, _ descriptors: inout ArrivedDescriptors, from peer: PeerID, now: UInt64) {
    bridge.received(
      frame, descriptors: descriptors.take(for: frame.header), from: peer, now: now, into: &actions)
    if frame.isLarge { usesSegments = true }
    perform(incoming: frame.body, large: frame.large)
  }

  /// Sends to a peer what has come together for it while more is taken.
  @inline(never)
  func flushOverdue() {
    let peer = overdue
    overdue = .nobody
    dirty.removeAll { $0 == peer }
    connections.markClean(peer)
    if let connection = connections.find(peer) { flush(connection) }
    perform()
  }

  func charge(_ received: PassedDescriptors, of connection: Connection) -> ChargedDescriptors {
    ChargedDescriptors(
      received, to: descriptorAccounts.account(of: connection.credentials.userID),
      limit: bridge.limits(of: connection.peer).descriptorsPerUser)
  }
}
