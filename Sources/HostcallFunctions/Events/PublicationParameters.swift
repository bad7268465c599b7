package import HostcallWire

/// What is published, checked.
package struct PublicationParameters: Sendable {
  package let name: String
  package let encoding: PayloadEncoding
  package let metadata: Metadata
  package let payload: ArraySlice<UInt8>
  /// Whether a handler publishes it.
  package let isInsideHandler: Bool

  /// Throws `invalidArgument` where no daemon would take it.
  ///
  /// - Parameter encoding: what the payload's bytes are, nil for what its type says.
  package init(
    name: String, _ payload: some HostcallPayload, encoding: PayloadEncoding?, metadata: Metadata
  ) throws(HostcallError) {
    guard NameRules.isName(name), !name.hasPrefix(ProtocolConstants.reservedNamePrefix) else {
      throw HostcallError(
        .invalidArgument, function: name,
        message: "this is not a name that can be published: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by "
          + "dots, the first of them not hostcall")
    }
    let encoding = encoding ?? payload.payloadEncoding
    try CallParameters.check(encoding, metadata, function: name)
    self.name = name
    self.encoding = encoding
    self.metadata = metadata
    self.payload = payload.payloadBytes
    isInsideHandler = HostcallContext.current?.correlationID != nil
  }

  /// PUBLISH's header; the request 0 wants no answer.
  package func header(request: UInt64) -> FrameHeader {
    FrameHeader(kind: .publish, encoding: encoding, id: request)
  }

  /// Bytes of the frame's body.
  package var bodyBytes: Int { name.utf8.count + metadata.encodedBytes + payload.count }
}
