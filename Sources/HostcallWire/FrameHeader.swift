#if !_endian(little)
  #error("Frames are little-endian and are loaded as they lie in memory: this platform needs byte swapping here.")
#endif

/// The 32 bytes that begin every frame (protocol section 2), laid out in memory as on the wire.
public struct FrameHeader: Sendable, BitwiseCopyable, Equatable {
  /// Bytes of body after this header.
  public var bodyBytes: UInt32
  /// Section 4; a value without a ``FrameKind`` may be in here until the frame has been checked.
  public var kindByte: UInt8
  /// Section 5.
  public var flags: FrameFlags
  /// Of the payload.
  public var encoding: PayloadEncoding
  /// Section 6; OK except where a kind gives it a meaning.
  public var status: Status
  /// A request id or a correlation id, by kind.
  public var id: UInt64
  /// A function handle, by kind; 0 where there is none.
  ///
  /// In RESULT the lower half of ``call``.
  public var function: UInt32
  /// Milliseconds, by kind.
  ///
  /// In RESULT the upper half of ``call``.
  public var timeoutMilliseconds: UInt32
  /// Bytes of name at the start of the body.
  public var nameBytes: UInt16
  /// Bytes of metadata after the name.
  public var metadataBytes: UInt16
  /// A number, by kind; else 0.
  public var aux: UInt32

  /// Bytes of a header.
  @inlinable
  public static var byteCount: Int { 32 }

  /// A header without a body, for what is left out 0.
  @inlinable
  public init(
    kind: FrameKind, flags: FrameFlags = .none, encoding: PayloadEncoding = .raw, status: Status = .ok, id: UInt64 = 0,
    function: UInt32 = 0, timeoutMilliseconds: UInt32 = 0, aux: UInt32 = 0
  ) {
    self.bodyBytes = 0
    self.kindByte = kind.rawValue
    self.flags = flags
    self.encoding = encoding
    self.status = status
    self.id = id
    self.function = function
    self.timeoutMilliseconds = timeoutMilliseconds
    self.nameBytes = 0
    self.metadataBytes = 0
    self.aux = aux
  }

  /// Loads the first 32 of `bytes`, which need not be aligned and must be there.
  @inlinable
  public init(loading bytes: UnsafeRawPointer) {
    self = bytes.loadUnaligned(as: FrameHeader.self)
  }

  /// Writes 32 bytes.
  @inlinable
  public func store(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: self, as: FrameHeader.self)
  }

  /// What kind of frame it is, nil where the byte has no meaning.
  @inlinable
  public var kind: FrameKind? {
    FrameKind(rawValue: kindByte)
  }

  /// Bytes of the whole frame: header and body.
  @inlinable
  public var frameBytes: Int {
    Self.byteCount + Int(bodyBytes)
  }

  /// Whether name and metadata fit into the body.
  @inlinable
  public var partsFit: Bool {
    UInt32(nameBytes) + UInt32(metadataBytes) <= bodyBytes
  }

  /// Bytes of payload: what name and metadata leave of the body.
  @inlinable
  public var payloadBytes: Int {
    Int(bodyBytes) - Int(nameBytes) - Int(metadataBytes)
  }

  /// RESULT: the correlation id of the call that it answers, 0 if none was issued.
  @inlinable
  public var call: UInt64 {
    get { UInt64(function) | UInt64(timeoutMilliseconds) << 32 }
    set {
      function = UInt32(truncatingIfNeeded: newValue)
      timeoutMilliseconds = UInt32(truncatingIfNeeded: newValue >> 32)
    }
  }

  /// The `id` of every HELLO: the bytes `HOSTCALL`.
  @inlinable
  public static var helloID: UInt64 { 0x4c4c_4143_5453_4f48 }
}
