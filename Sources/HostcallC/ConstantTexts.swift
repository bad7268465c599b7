import CHostcall
import Glibc
import HostcallWire

/// Texts for C that are made once and never freed.
enum ConstantTexts {
  nonisolated(unsafe) static let version = constant(HostcallVersion.current)

  static func name(ofStatus status: hostcall_status) -> UnsafePointer<CChar> {
    guard let byte = UInt8(exactly: status) else { return unknown }
    return statuses[Int(byte)]
  }

  private nonisolated(unsafe) static let unknown = constant("UNKNOWN")

  private nonisolated(unsafe) static let statuses: [UnsafePointer<CChar>] = (0...UInt8.max).map { number in
    let status = Status(rawValue: number)
    switch Int(number) {
    case HOSTCALL_CANNOT_CONNECT: return constant("CANNOT_CONNECT")
    case HOSTCALL_CONNECTION_LOST: return constant("CONNECTION_LOST")
    case HOSTCALL_CLOSED: return constant("CLOSED")
    case 128...255: return constant("APPLICATION")
    default: return status.isAssigned ? constant(status.description) : unknown
    }
  }

  private static func constant(_ text: String) -> UnsafePointer<CChar> {
    guard let copy = strdup(text) else { preconditionFailure("no memory for the text \(text)") }
    return UnsafePointer(copy)
  }
}
