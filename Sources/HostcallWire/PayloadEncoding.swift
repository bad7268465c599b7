/// What the bytes of a payload are (protocol section 2).
///
/// The daemon passes it on and never looks inside.
public struct PayloadEncoding: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  /// The byte on the wire.
  public let rawValue: UInt8

  /// An encoding from its byte: 0 to 2, or 128 to 255 for the application's own.
  @inlinable
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// Bytes without a meaning to anybody but caller and worker.
  @inlinable public static var raw: PayloadEncoding { PayloadEncoding(rawValue: 0) }
  /// JSON, in UTF-8.
  @inlinable public static var json: PayloadEncoding { PayloadEncoding(rawValue: 1) }
  /// CBOR, RFC 8949.
  @inlinable public static var cbor: PayloadEncoding { PayloadEncoding(rawValue: 2) }

  /// Whether the protocol allows it; 3 to 127 are reserved.
  @inlinable
  public var isAssigned: Bool {
    rawValue <= 2 || rawValue >= 128
  }
}

extension PayloadEncoding: CustomStringConvertible {
  /// `raw`, `json`, `cbor`, or the number.
  public var description: String {
    switch self {
    case .raw: "raw"
    case .json: "json"
    case .cbor: "cbor"
    default: String(rawValue)
    }
  }
}
