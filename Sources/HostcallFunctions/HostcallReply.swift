public import HostcallWire

/// What a handler answers.
public struct HostcallReply: Sendable, Equatable {
  /// The result.
  public var payload: ArraySlice<UInt8>
  /// What the payload's bytes are.
  public var encoding: PayloadEncoding
  /// What goes to the caller beside the result. Keys that begin with `hostcall-` are the daemon's and are left out.
  public var metadata: Metadata
  /// Open files that go to the caller with the result: sending it takes them out of here. What the request brought may be
  /// sent back as it is.
  public var descriptors: HostcallDescriptors

  /// A reply; without arguments an empty one.
  public init(
    _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil, metadata: Metadata = [:],
    descriptors: HostcallDescriptors = .none
  ) {
    self.payload = payload.payloadBytes
    self.encoding = encoding ?? payload.payloadEncoding
    self.metadata = metadata
    self.descriptors = descriptors
  }
}

/// What a handler may return: `[UInt8]`, `ArraySlice<UInt8>`, `String`, ``HostcallReply``, or nothing.
public protocol HostcallReplyConvertible: Sendable {
  /// The reply to send.
  var hostcallReply: HostcallReply { get }
}

extension HostcallReply: HostcallReplyConvertible {
  /// Itself.
  public var hostcallReply: HostcallReply { self }
}

extension [UInt8]: HostcallReplyConvertible {
  /// The bytes, raw.
  public var hostcallReply: HostcallReply { HostcallReply(self) }
}

extension ArraySlice<UInt8>: HostcallReplyConvertible {
  /// The bytes, raw.
  public var hostcallReply: HostcallReply { HostcallReply(self) }
}

extension String: HostcallReplyConvertible {
  /// The text in UTF-8, raw.
  public var hostcallReply: HostcallReply { HostcallReply(self) }
}

/// What a handler throws to choose the status and the bytes that its caller gets.
///
/// Any other error gives FAILED, with the error's description as text.
public struct HostcallFailure: Error, Sendable, Equatable {
  /// How the call ends. A worker may use 1 to 8, FAILED, CANCELLED, UNKNOWN and 128 to 255 (protocol section 4,
  /// *Completing*); any other is sent as FAILED.
  public var status: Status
  /// The error as bytes; text where the caller is to show it.
  public var payload: ArraySlice<UInt8>
  /// What the payload's bytes are.
  public var encoding: PayloadEncoding
  /// What goes to the caller beside it.
  public var metadata: Metadata

  /// A failure; a `String` as payload makes it a message.
  public init(
    status: Status = .failed, payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    metadata: Metadata = [:]
  ) {
    self.status = status
    self.payload = payload.payloadBytes
    self.encoding = encoding ?? payload.payloadEncoding
    self.metadata = metadata
  }
}

extension HostcallFailure: CustomStringConvertible {
  /// The status and the payload as text, as far as it is text.
  public var description: String {
    "\(status): \(PayloadText.text(payload, encoding: encoding))"
  }
}
