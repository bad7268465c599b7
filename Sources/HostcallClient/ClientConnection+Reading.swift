import HostcallFunctions
import HostcallLoop
import HostcallWire

// What comes from the daemon.
extension ClientConnection {
  /// How often one turn of the loop reads before others have theirs.
  private static let readsPerTurn = 4

  /// The socket has something, or has ended.
  func readable(linkNumber: UInt64) {
    let buffer = ClientLoop.readBuffer
    for _ in 0..<Self.readsPerTurn {
      guard let link, link.number == linkNumber else { return }
      switch link.stream.read(into: buffer) {
      case .bytes(let count):
        link.wasHeard = true
        link.incomingDescriptors.begin(link.stream.takeReceivedDescriptors())
        take(UnsafeRawBufferPointer(rebasing: buffer[..<count]), link)
        if count < buffer.count { return }
      case .wouldBlock: return
      case .endOfStream:
        let within = link.decoder.keptBytes > 0 ? " in the middle of a frame" : ""
        lose(connectionEnded("the daemon has closed it\(within)"))
      case .failed(let code): lose(connectionEnded(LoopError.text(ofCode: code)))
      }
    }
  }

  private func take(_ bytes: UnsafeRawBufferPointer, _ link: ClientLink) {
    link.decoder.begin(bytes)
    do throws(ProtocolViolation) {
      while let frame = try link.decoder.next() {
        try receive(frame, link)
        guard self.link === link else { return }
      }
      link.decoder.end()
      try link.incomingDescriptors.end(keepsPart: link.decoder.keptBytes > 0)
    } catch {
      refuse(error, link)
    }
    finishShutdownIfDone()
    closeIfAbandoned()
  }

  /// The daemon broke the protocol: it is told so, and the connection is given up.
  private func refuse(_ violation: ProtocolViolation, _ link: ClientLink) {
    let reason = violation.reason
    link.append(FrameHeader(kind: .goaway, status: .protocolViolation), payload: reason.payloadBytes)
    _ = link.stream.flush()
    lose(connectionEnded("the daemon broke the protocol: \(reason)", status: .protocolViolation))
  }

  private func receive(_ frame: DecodedFrame, _ link: ClientLink) throws(ProtocolViolation) {
    let header = frame.header
    let descriptors = try link.incomingDescriptors.take(for: frame)
    guard link.welcome != nil || frame.kind == .welcome || frame.kind == .goaway else {
      throw ProtocolViolation("\(frame.kind) before WELCOME")
    }
    if frame.isTooLarge, ![.result, .invoke, .item, .event].contains(frame.kind) {
      throw ProtocolViolation("\(frame.kind) of \(header.bodyBytes) bytes")
    }
    switch frame.kind {
    case .result: try receiveResult(frame, descriptors, link)
    case .invoke: try receiveInvoke(frame, descriptors, link)
    case .cancel: receiveCancel(correlationID: header.id, header.status, link)
    case .item: try receiveItem(frame, link)
    case .credit: receiveCredit(header, link)
    case .rejected: receiveRejected(header, link)
    case .ping: link.append(FrameHeader(kind: .pong, id: header.id), payload: ArraySlice(frame.payload))
    case .pong: receivePong(id: header.id, link)
    case .welcome: try receiveWelcome(frame, link)
    case .goaway: receiveGoaway(frame)
    case .event: try receiveEvent(frame, link)
    default: throw ProtocolViolation("\(frame.kind) from the daemon")
    }
  }

  private func receiveRejected(_ header: FrameHeader, _ link: ClientLink) {
    // An item or credit that met the end of its call on the way, of which CANCEL tells.
    if link.running[header.id] != nil { return }
    rejectionsContinuation.yield(HostcallRejection(correlationID: header.id, status: header.status))
  }

  private func receivePong(id: UInt64, _ link: ClientLink) {
    switch link.pings.removeValue(forKey: id) {
    case .user(let sent, let answer): answer(.success(sent.duration(to: .now)))
    case .goawayWasSeen: link.goawayWasSeen = true
    case .liveness, nil: break
    }
  }
}
