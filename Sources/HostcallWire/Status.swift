/// How a call or a request ended (protocol section 6).
///
/// One byte on the wire. Values never change and are never used again for something else; 128 to 255 belong to the
/// application.
public struct Status: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  /// The byte on the wire.
  public let rawValue: UInt8

  /// A status from its byte, whether or not this version knows it.
  @inlinable
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// The call succeeded.
  @inlinable public static var ok: Status { Status(rawValue: 0) }
  /// A required pointer was null (C interface, workers).
  @inlinable public static var nullPointer: Status { Status(rawValue: 1) }
  /// A buffer was too small for the result (C interface, workers).
  @inlinable public static var bufferTooSmall: Status { Status(rawValue: 2) }
  /// Text was not UTF-8.
  @inlinable public static var invalidUTF8: Status { Status(rawValue: 3) }
  /// The payload could not be encoded or decoded.
  @inlinable public static var serialization: Status { Status(rawValue: 4) }
  /// The host function crashed and was caught at the boundary.
  @inlinable public static var panic: Status { Status(rawValue: 5) }
  /// The deadline passed first.
  @inlinable public static var timeout: Status { Status(rawValue: 6) }
  /// Nobody has registered that name.
  @inlinable public static var notFound: Status { Status(rawValue: 7) }
  /// Kept for the C interface; the daemon never sends it.
  @inlinable public static var lockPoisoned: Status { Status(rawValue: 8) }
  /// The host function answered with an error; the payload is that error.
  @inlinable public static var failed: Status { Status(rawValue: 10) }
  /// The call was cancelled.
  @inlinable public static var cancelled: Status { Status(rawValue: 11) }
  /// The worker went away while it may have been running the call.
  @inlinable public static var workerLost: Status { Status(rawValue: 12) }
  /// The name is known, but no worker for it can be had now.
  @inlinable public static var unavailable: Status { Status(rawValue: 13) }
  /// A limit is reached; nothing was started, trying later is safe.
  @inlinable public static var overloaded: Status { Status(rawValue: 14) }
  /// Policy refuses it.
  @inlinable public static var denied: Status { Status(rawValue: 15) }
  /// A frame was larger than the connection's `max-frame`.
  @inlinable public static var tooLarge: Status { Status(rawValue: 16) }
  /// The peer broke the protocol.
  @inlinable public static var protocolViolation: Status { Status(rawValue: 17) }
  /// No protocol version in common.
  @inlinable public static var version: Status { Status(rawValue: 18) }
  /// The daemon is leaving.
  @inlinable public static var shuttingDown: Status { Status(rawValue: 19) }
  /// Somebody has that name already.
  @inlinable public static var alreadyRegistered: Status { Status(rawValue: 20) }
  /// A name, handle, option or value that cannot be.
  @inlinable public static var invalidArgument: Status { Status(rawValue: 21) }
  /// A completion for a call that was never sent to this worker.
  @inlinable public static var unknownCall: Status { Status(rawValue: 22) }
  /// A completion for a call that had ended.
  @inlinable public static var late: Status { Status(rawValue: 23) }
  /// A second completion of the same call by the same worker.
  @inlinable public static var duplicate: Status { Status(rawValue: 24) }
  /// The caller's connection ended.
  @inlinable public static var callerLost: Status { Status(rawValue: 25) }
  /// An error without a better name.
  @inlinable public static var unknown: Status { Status(rawValue: 99) }
}

extension Status: CustomStringConvertible {
  /// The name of section 6, such as `NOT_FOUND`, or the number where there is none.
  public var description: String {
    Self.names[rawValue] ?? "STATUS_\(rawValue)"
  }

  /// The status with the name of section 6 (`NOT_FOUND`), or nil.
  public init?(name: String) {
    guard let value = Self.names.first(where: { $0.value == name })?.key else { return nil }
    self.init(rawValue: value)
  }

  /// Whether the application, not the protocol, gives it its meaning.
  @inlinable
  public var isApplicationDefined: Bool {
    rawValue >= 128
  }

  /// Whether section 6 gives it a meaning; 9, 26 to 98 and 100 to 127 are reserved.
  package var isAssigned: Bool {
    isApplicationDefined || rawValue == 99 || (rawValue <= 25 && rawValue != 9)
  }

  /// Whether a worker may end a call with it (protocol section 4, *Completing*): 0 to 10, CANCELLED, UNKNOWN and the
  /// application's own.
  package var isAllowedInCompletion: Bool {
    rawValue <= 11 || rawValue == 99 || isApplicationDefined
  }

  private static let names: [UInt8: String] = [
    0: "OK", 1: "NULL_POINTER", 2: "BUFFER_TOO_SMALL", 3: "INVALID_UTF8", 4: "SERIALIZATION", 5: "PANIC",
    6: "TIMEOUT", 7: "NOT_FOUND", 8: "LOCK_POISONED", 10: "FAILED", 11: "CANCELLED", 12: "WORKER_LOST",
    13: "UNAVAILABLE", 14: "OVERLOADED", 15: "DENIED", 16: "TOO_LARGE", 17: "PROTOCOL", 18: "VERSION",
    19: "SHUTTING_DOWN", 20: "ALREADY_REGISTERED", 21: "INVALID_ARGUMENT", 22: "UNKNOWN_CALL", 23: "LATE",
    24: "DUPLICATE", 25: "CALLER_LOST", 99: "UNKNOWN",
  ]
}
