public import HostcallWire

/// What a call came back with, when it succeeded.
public struct HostcallResponse: Sendable, Equatable {
  /// The result.
  public let payload: [UInt8]
  /// What the payload's bytes are.
  public let encoding: PayloadEncoding
  /// What the worker sent beside the result.
  public let metadata: Metadata
  /// The number by which worker, logs and tools know the call; nil where the daemon issued none.
  public let correlationID: UInt64?
  /// Open files that came with the result; closed with the last copy of the response, unless they are taken.
  public let descriptors: HostcallDescriptors

  /// A response as it would come; for tests of code that takes one.
  public init(
    payload: [UInt8], encoding: PayloadEncoding = .raw, metadata: Metadata = [:], correlationID: UInt64? = nil,
    descriptors: HostcallDescriptors = .none
  ) {
    self.payload = payload
    self.encoding = encoding
    self.metadata = metadata
    self.correlationID = correlationID
    self.descriptors = descriptors
  }

  /// What a RESULT with the status OK is to the caller.
  package init(_ result: DecodedFrame, descriptors: HostcallDescriptors) {
    self.init(
      payload: Array(result.payload), encoding: result.header.encoding, metadata: Metadata(of: result),
      correlationID: result.header.call == 0 ? nil : result.header.call, descriptors: descriptors)
  }

  /// The payload as text; bytes that are not UTF-8 become U+FFFD.
  public var text: String { String(decoding: payload, as: UTF8.self) }
}
