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
  public static let ok = Status(rawValue: 0)
  /// A required pointer was null (C interface, workers).
  public static let nullPointer = Status(rawValue: 1)
  /// A buffer was too small for the result (C interface, workers).
  public static let bufferTooSmall = Status(rawValue: 2)
  /// Text was not UTF-8.
  public static let invalidUTF8 = Status(rawValue: 3)
  /// The payload could not be encoded or decoded.
  public static let serialization = Status(rawValue: 4)
  /// The host function crashed and was caught at the boundary.
  public static let panic = Status(rawValue: 5)
  /// The deadline passed first.
  public static let timeout = Status(rawValue: 6)
  /// Nobody has registered that name.
  public static let notFound = Status(rawValue: 7)
  /// Kept for the C interface; the daemon never sends it.
  public static let lockPoisoned = Status(rawValue: 8)
  /// The host function answered with an error; the payload is that error.
  public static let failed = Status(rawValue: 10)
  /// The call was cancelled.
  public static let cancelled = Status(rawValue: 11)
  /// The worker went away while it may have been running the call.
  public static let workerLost = Status(rawValue: 12)
  /// The name is known, but no worker for it can be had now.
  public static let unavailable = Status(rawValue: 13)
  /// A limit is reached; nothing was started, trying later is safe.
  public static let overloaded = Status(rawValue: 14)
  /// Policy refuses it.
  public static let denied = Status(rawValue: 15)
  /// A frame was larger than the connection's `max-frame`.
  public static let tooLarge = Status(rawValue: 16)
  /// The peer broke the protocol.
  public static let protocolViolation = Status(rawValue: 17)
  /// No protocol version in common.
  public static let version = Status(rawValue: 18)
  /// The daemon is leaving.
  public static let shuttingDown = Status(rawValue: 19)
  /// Somebody has that name already.
  public static let alreadyRegistered = Status(rawValue: 20)
  /// A name, handle, option or value that cannot be.
  public static let invalidArgument = Status(rawValue: 21)
  /// A completion for a call that was never sent to this worker.
  public static let unknownCall = Status(rawValue: 22)
  /// A completion for a call that had ended.
  public static let late = Status(rawValue: 23)
  /// A second completion of the same call by the same worker.
  public static let duplicate = Status(rawValue: 24)
  /// The caller's connection ended.
  public static let callerLost = Status(rawValue: 25)
  /// An error without a better name.
  public static let unknown = Status(rawValue: 99)
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
  @inlinable
  package var isAssigned: Bool {
    isApplicationDefined || rawValue == 99 || (rawValue <= 25 && rawValue != 9)
  }

  /// Whether a worker may end a call with it (protocol section 4, *Completing*): 0 to 10, CANCELLED, UNKNOWN and the
  /// application's own.
  @inlinable
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
