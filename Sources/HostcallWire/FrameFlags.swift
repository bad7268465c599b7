/// The flags of a frame (protocol section 5).
public struct FrameFlags: OptionSet, Sendable, BitwiseCopyable {
  public let rawValue: UInt8

  @inlinable @inline(__always)
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// None of them; `[]` would be put together at run time.
  @inlinable @inline(__always)
  public static var none: FrameFlags { FrameFlags(rawValue: 0) }
  /// CALL, INVOKE: argument items follow.
  @inlinable @inline(__always)
  public static var open: FrameFlags { FrameFlags(rawValue: 0x01) }
  /// ITEM from the caller, and as passed to the worker: the last argument.
  @inlinable @inline(__always)
  public static var last: FrameFlags { FrameFlags(rawValue: 0x02) }
  /// CALL: there is no RESULT, whatever happens.
  @inlinable @inline(__always)
  public static var noReply: FrameFlags { FrameFlags(rawValue: 0x04) }
  /// CALL, INVOKE: the call may be sent to a worker again.
  @inlinable @inline(__always)
  public static var idempotent: FrameFlags { FrameFlags(rawValue: 0x08) }
  /// File descriptors come with this frame.
  @inlinable @inline(__always)
  public static var descriptors: FrameFlags { FrameFlags(rawValue: 0x10) }
  /// CALL: wait for a worker where there is none.
  @inlinable @inline(__always)
  public static var wait: FrameFlags { FrameFlags(rawValue: 0x20) }
  /// RESULT: the worker chose the status.
  @inlinable @inline(__always)
  public static var fromWorker: FrameFlags { FrameFlags(rawValue: 0x40) }
}

extension FrameFlags {
  /// Whether the one flag is set; a single bit test, where `contains` goes through the protocol of sets.
  @inlinable @inline(__always)
  public func has(_ flag: FrameFlags) -> Bool {
    rawValue & flag.rawValue != 0
  }
}

extension FrameFlags: CustomStringConvertible {
  /// The protocol's names of the flags, joined by `|`.
  public var description: String {
    let names = ["OPEN", "LAST", "NO_REPLY", "IDEMPOTENT", "DESCRIPTORS", "WAIT", "FROM_WORKER", "0x80"]
    return names.enumerated().filter { rawValue & (1 << $0.offset) != 0 }.map(\.element).joined(separator: "|")
  }
}
