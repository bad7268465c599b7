public import HostcallWire

/// Something that somebody published, as a subscriber gets it (protocol section 4, *Events*).
public struct HostcallEvent: Sendable, Equatable {
  /// The name under which it was published.
  public let name: String
  /// What was published.
  public let payload: [UInt8]
  /// What the payload's bytes are.
  public let encoding: PayloadEncoding
  /// What the publisher sent beside the payload.
  public let metadata: Metadata
  /// Its place among all events that the daemon had for this connection, from 1; it starts again with each connection.
  public let place: UInt64
  /// How many events were dropped since the one before, because this subscriber was too slow: by the daemon, which does
  /// not say which, so they need not have been of this name; or here, where they waited to be taken.
  public internal(set) var droppedBefore: Int
  /// Whether the connection was lost since the one before, so that an unknown number of events never came.
  public internal(set) var followsGap: Bool

  /// An event as it would come; for tests of code that takes one.
  public init(
    name: String, payload: [UInt8] = [], encoding: PayloadEncoding = .raw, metadata: Metadata = [:],
    place: UInt64 = 1, droppedBefore: Int = 0, followsGap: Bool = false
  ) {
    self.name = name
    self.payload = payload
    self.encoding = encoding
    self.metadata = metadata
    self.place = place
    self.droppedBefore = droppedBefore
    self.followsGap = followsGap
  }

  /// What an EVENT brings.
  package init(_ frame: DecodedFrame) {
    self.init(
      name: String(decoding: frame.name, as: UTF8.self), payload: Array(frame.payload), encoding: frame.header.encoding,
      metadata: Metadata(decoding: frame.metadata), place: frame.header.id)
  }

  /// The payload as text; bytes that are not UTF-8 become U+FFFD.
  public var text: String { String(decoding: payload, as: UTF8.self) }

  /// Bytes that it keeps.
  var byteCount: Int { name.utf8.count + payload.count + metadata.encodedBytes }
}
