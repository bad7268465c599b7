package import HostcallWire

/// What ends an INVOKE, in the form in which it may be sent.
package struct Completion: Sendable {
  package let correlationID: UInt64
  package let status: Status
  package let encoding: PayloadEncoding
  package let metadata: Metadata
  package let payload: ArraySlice<UInt8>

  /// A completion of which everything that a worker may not send has been taken away.
  package init(correlationID: UInt64, status: Status, reply: HostcallReply) {
    self.correlationID = correlationID
    metadata = reply.metadata.withoutReservedKeys
    let bytes = metadata.encodedBytes + reply.payload.count
    if !reply.encoding.isAssigned || bytes > Int(UInt32.max) {
      self.status = .failed
      encoding = .raw
      payload = "the handler's reply cannot be sent: encoding \(reply.encoding), \(bytes) bytes".payloadBytes
    } else {
      self.status = status.isAllowedInCompletion && status.isAssigned ? status : .failed
      encoding = reply.encoding
      payload = reply.payload
    }
  }

  /// What a failure comes to; OK is not one.
  package init(correlationID: UInt64, _ failure: HostcallFailure) {
    self.init(
      correlationID: correlationID, status: failure.status == .ok ? .failed : failure.status,
      reply: HostcallReply(failure.payload, encoding: failure.encoding, metadata: failure.metadata))
  }

  /// What a handler's outcome comes to.
  package init(correlationID: UInt64, _ result: Result<HostcallReply, any Error>) {
    switch result {
    case .success(let reply): self.init(correlationID: correlationID, status: .ok, reply: reply)
    case .failure(let failure as HostcallFailure): self.init(correlationID: correlationID, failure)
    case .failure(let error):
      self.init(correlationID: correlationID, status: .failed, reply: HostcallReply(String(describing: error)))
    }
  }

  /// COMPLETE as it goes over the wire.
  package var header: FrameHeader {
    FrameHeader(kind: .complete, encoding: encoding, status: status, id: correlationID)
  }
}
