import HostcallWire
import Testing

@Suite("Status and PayloadEncoding")
struct StatusTests {
  static let table: [(UInt8, String, Status)] = [
    (0, "OK", .ok), (1, "NULL_POINTER", .nullPointer), (2, "BUFFER_TOO_SMALL", .bufferTooSmall),
    (3, "INVALID_UTF8", .invalidUTF8), (4, "SERIALIZATION", .serialization), (5, "PANIC", .panic),
    (6, "TIMEOUT", .timeout), (7, "NOT_FOUND", .notFound), (8, "LOCK_POISONED", .lockPoisoned),
    (10, "FAILED", .failed), (11, "CANCELLED", .cancelled), (12, "WORKER_LOST", .workerLost),
    (13, "UNAVAILABLE", .unavailable), (14, "OVERLOADED", .overloaded), (15, "DENIED", .denied),
    (16, "TOO_LARGE", .tooLarge), (17, "PROTOCOL", .protocolViolation), (18, "VERSION", .version),
    (19, "SHUTTING_DOWN", .shuttingDown), (20, "ALREADY_REGISTERED", .alreadyRegistered),
    (21, "INVALID_ARGUMENT", .invalidArgument), (22, "UNKNOWN_CALL", .unknownCall), (23, "LATE", .late),
    (24, "DUPLICATE", .duplicate), (25, "CALLER_LOST", .callerLost), (99, "UNKNOWN", .unknown),
  ]

  @Test("have the values and names of section 6, there and back")
  func names() {
    for (value, name, status) in Self.table {
      #expect(status.rawValue == value)
      #expect(status.description == name)
      #expect(Status(name: name) == status)
    }
    #expect(Status(rawValue: 200).description == "STATUS_200")
    for name in ["", "ok", "STATUS_200", "PROTOCOL_VIOLATION"] { #expect(Status(name: name) == nil) }
  }

  @Test("are assigned where the table has them, and from 128")
  func assigned() {
    let inTable = Set(Self.table.map(\.0))
    for value in UInt8.min ... .max {
      let status = Status(rawValue: value)
      #expect(status.isApplicationDefined == (value >= 128))
      #expect(status.isAssigned == (value >= 128 || inTable.contains(value)), "\(value)")
    }
  }

  @Test("are for workers to use where section 4 says: OK, 1 to 9, FAILED, CANCELLED, UNKNOWN and from 128")
  func completion() {
    for value in UInt8.min ... .max {
      let isAllowed = value <= 9 || [10, 11, 99].contains(value) || value >= 128
      #expect(Status(rawValue: value).isAllowedInCompletion == isAllowed, "\(value)")
    }
  }

  @Test("leave the encodings 3 to 127 reserved, and name the first three")
  func encodings() {
    for value in UInt8.min ... .max {
      #expect(PayloadEncoding(rawValue: value).isAssigned == !(3...127).contains(value), "\(value)")
    }
    #expect([.raw, .json, .cbor].map(\PayloadEncoding.rawValue) == [0, 1, 2])
    let names = [PayloadEncoding.raw, .json, .cbor, .init(rawValue: 128)].map(\.description)
    #expect(names == ["raw", "json", "cbor", "128"])
  }
}
