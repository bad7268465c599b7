import HostcallFunctions
import HostcallWire

// Calls that this client answers.
extension ClientConnection {
  /// INVOKE has come: starts the handler.
  func receiveInvoke(
    _ frame: DecodedFrame, _ descriptors: HostcallDescriptors, _ link: ClientLink
  ) throws(ProtocolViolation) {
    let header = frame.header
    guard let record = link.functions[header.function] else {
      throw ProtocolViolation("INVOKE with the handle \(header.function), which it never gave out")
    }
    guard link.running[header.id] == nil else {
      throw ProtocolViolation("INVOKE of the call \(header.id), which runs already")
    }
    if frame.isTooLarge { return refuseTooLarge(header, link) }
    guard header.nameBytes > 0 || !NameRules.isPattern(record.name) else {
      throw ProtocolViolation("INVOKE of the pattern \(record.name) without a name")
    }
    if descriptors.wereTruncated { return refuseDescriptors(header, link) }
    let streams = ServedStreams(header, window: configuration.itemWindow)
    let request = HostcallRequest(
      frame, registeredName: record.name, descriptors: descriptors, streams: streams,
      port: ServedCallPort(correlationID: header.id, linkNumber: link.number, connection: self),
      largestItemBytes: link.largestOutgoingBytes)
    let invocation = HostcallInvocation(request: request, linkNumber: link.number, connection: self)
    link.running[header.id] = ClientLink.Running(invocation: invocation, record: record, streams: streams)
    switch record.handler {
    case .task(let handler): link.running[header.id]?.task = start(handler, request, linkNumber: link.number)
    case .manual(let handler, _): handler(invocation)
    }
  }

  private func refuseTooLarge(_ header: FrameHeader, _ link: ClientLink) {
    let text =
      "the worker takes \(configuration.largestFrameBytes) bytes at most (largestFrameBytes), "
      + "and the call has \(header.bodyBytes)"
    let refusal = Completion(correlationID: header.id, status: .bufferTooSmall, reply: HostcallReply(text))
    write(refusal, link)
  }

  private func refuseDescriptors(_ header: FrameHeader, _ link: ClientLink) {
    let text = "the worker can have no more open files (raise its limit on them)"
    write(Completion(correlationID: header.id, status: .failed, reply: HostcallReply(text)), link)
  }

  /// Runs a handler as a task off the loop, with the context that calls inside inherit.
  private func start(
    _ handler: @escaping @Sendable (HostcallRequest) async throws -> HostcallReply, _ request: HostcallRequest,
    linkNumber: UInt64
  ) -> Task<Void, Never> {
    Task.detached {
      let result: Result<HostcallReply, any Error>
      do {
        let reply = try await HostcallContext.$current.withValue(request.context) { try await handler(request) }
        result = .success(reply)
      } catch {
        result = .failure(error)
      }
      self.enter { $0.handlerEnded(request.correlationID, result, linkNumber: linkNumber) }
    }
  }

  private func handlerEnded(_ correlationID: UInt64, _ result: Result<HostcallReply, any Error>, linkNumber: UInt64) {
    guard let link, link.number == linkNumber, let running = link.running[correlationID] else { return }
    let completion =
      if running.wasCancelled {
        // The call has ended, so whatever the handler came to reaches nobody.
        Completion(correlationID: correlationID, status: .cancelled, reply: HostcallReply())
      } else {
        Completion(correlationID: correlationID, result)
      }
    complete(completion, linkNumber: linkNumber)
  }

  /// Sends COMPLETE, unless the connection that the call came by has ended.
  func complete(_ completion: Completion, linkNumber: UInt64) {
    guard let link, link.number == linkNumber else { return }
    if let running = link.running.removeValue(forKey: completion.correlationID) {
      endStreams(of: running, link)
    }
    write(completion, link)
    finishShutdownIfDone()
    closeIfAbandoned()
  }

  private func write(_ completion: Completion, _ link: ClientLink) {
    if !completion.descriptors.isEmpty, let error = link.lack(of: .descriptors) {
      return write(Completion(refused: completion.correlationID, error.message), link)
    }
    link.append(
      completion.header, metadata: completion.metadata, payload: completion.payload,
      descriptors: completion.descriptors)
  }

  /// CANCEL has come: the call has ended, and its handler is asked to stop.
  func receiveCancel(correlationID: UInt64, _ status: Status, _ link: ClientLink) {
    guard let running = link.running[correlationID] else { return }
    link.running[correlationID]?.wasCancelled = true
    running.streams.end(
      HostcallError(
        .status(status), origin: .daemon, function: running.invocation.request.function, correlationID: correlationID,
        message: "the call has ended")
    ) { running.task?.cancel() }
    if case .manual(_, let onCancel) = running.record.handler { onCancel(running.invocation, status) }
  }
}
