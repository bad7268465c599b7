public import HostcallWire

/// One item of a stream: a result on its way to the caller, or an argument on its way to the worker (protocol section
/// 4, *Streams*).
public struct HostcallItem: Sendable, Equatable {
  /// The item.
  public let payload: [UInt8]
  /// What the payload's bytes are.
  public let encoding: PayloadEncoding

  /// An item as it would come; for tests of code that takes one.
  public init(payload: [UInt8], encoding: PayloadEncoding = .raw) {
    self.payload = payload
    self.encoding = encoding
  }

  /// What an ITEM brings.
  package init(_ frame: DecodedFrame) {
    self.init(payload: Array(frame.payload), encoding: frame.header.encoding)
  }

  /// The payload as text; bytes that are not UTF-8 become U+FFFD.
  public var text: String { String(decoding: payload, as: UTF8.self) }
}

/// An item that came can be sent on as it is.
extension HostcallItem: HostcallPayload {
  /// The payload, not copied.
  public var payloadBytes: ArraySlice<UInt8> { payload[...] }
  /// What the payload's bytes are.
  public var payloadEncoding: PayloadEncoding { encoding }
}
