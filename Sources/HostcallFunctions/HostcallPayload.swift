public import HostcallWire

/// What can be sent as the payload of a call.
///
/// `[UInt8]`, `ArraySlice<UInt8>` and `String` can (as raw bytes), and JSON through `HostcallClientJSON`.
public protocol HostcallPayload: Sendable {
  /// The bytes to send. Asked for once a call, on the caller's thread.
  var payloadBytes: ArraySlice<UInt8> { get }
  /// What the bytes are; raw unless the type says otherwise.
  var payloadEncoding: PayloadEncoding { get }
}

extension HostcallPayload {
  /// Raw bytes.
  public var payloadEncoding: PayloadEncoding { .raw }
}

extension [UInt8]: HostcallPayload {
  /// The array itself, not copied.
  public var payloadBytes: ArraySlice<UInt8> { self[...] }
}

extension ArraySlice<UInt8>: HostcallPayload {
  /// The slice itself, not copied.
  public var payloadBytes: ArraySlice<UInt8> { self }
}

extension String: HostcallPayload {
  /// The text in UTF-8.
  public var payloadBytes: ArraySlice<UInt8> { ArraySlice(utf8) }
}
