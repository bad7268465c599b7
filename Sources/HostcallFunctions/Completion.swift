package import HostcallWire

/// What ends an INVOKE, in the form in which it may be sent.
package struct Completion: Sendable {
  package let correlationID: UInt64
  package let status: Status
  package let encoding: PayloadEncoding
  package let metadata: Metadata
  package let payload: ArraySlice<UInt8>
  package let descriptors: HostcallDescriptors

  /// A completion of which everything that a worker may not send has been taken away.
  package init(correlationID: UInt64, status: Status, reply: HostcallReply) {
    let descriptors = reply.descriptors.handedOver()
    let metadata = reply.metadata.withoutReservedKeys
    let counting = try? metadata.counting(descriptors)
    let bytes = metadata.encodedBytes + reply.payload.count
    if !reply.encoding.isAssigned || bytes > Int(UInt32.max) {
      self.init(refused: correlationID, "encoding \(reply.encoding), \(bytes) bytes", metadata)
    } else if let counting {
      self.init(
        correlationID: correlationID, status: status.isAllowedInCompletion && status.isAssigned ? status : .failed,
        encoding: reply.encoding, metadata: counting, payload: reply.payload, descriptors: descriptors)
    } else {
      self.init(refused: correlationID, "its metadata leaves no room for the number of descriptors", metadata)
    }
  }

  /// What is sent in place of a reply that cannot be.
  package init(refused correlationID: UInt64, _ reason: String, _ metadata: Metadata = [:]) {
    self.init(
      correlationID: correlationID, status: .failed, encoding: .raw, metadata: metadata,
      payload: "the handler's reply cannot be sent: \(reason)".payloadBytes, descriptors: .none)
  }

  private init(
    correlationID: UInt64, status: Status, encoding: PayloadEncoding, metadata: Metadata, payload: ArraySlice<UInt8>,
    descriptors: HostcallDescriptors
  ) {
    self.correlationID = correlationID
    self.status = status
    self.encoding = encoding
    self.metadata = metadata
    self.payload = payload
    self.descriptors = descriptors
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
    FrameHeader(
      kind: .complete, flags: descriptors.isEmpty ? [] : .descriptors, encoding: encoding, status: status,
      id: correlationID)
  }
}
