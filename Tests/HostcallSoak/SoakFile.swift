import Glibc
import HostcallLoop

/// Open files that say whose they are, as payloads do.
enum SoakFile {
  /// New files without a name, in order.
  static func open(_ identity: UInt64, count: Int) -> PassedDescriptors {
    PassedDescriptors(takingOver: (0..<count).map { open(identity, place: $0) })
  }

  private static func open(_ identity: UInt64, place: Int) -> Int32 {
    var path = Array("/tmp/hostcall-soak-XXXXXX".utf8CString)
    let descriptor = mkstemp(&path)
    precondition(descriptor >= 0, "no temporary file can be made: errno \(errno)")
    unlink(path)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    let bytes = SoakPayload(identity: identity, number: UInt64(place)).encoded(.file)
    precondition(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count, "a temporary file cannot be written")
    return descriptor
  }

  /// Whether these are all files of the call, in order.
  static func are(_ descriptors: PassedDescriptors?, of identity: UInt64, count: Int) -> Bool {
    let numbers = descriptors?.numbers ?? []
    guard numbers.count == count else { return false }
    return numbers.enumerated().allSatisfy { place, number in
      var bytes = [UInt8](repeating: 0, count: SoakPayload.smallestBytes)
      guard pread(number, &bytes, bytes.count, 0) == bytes.count else { return false }
      let payload = bytes.withUnsafeBytes { SoakPayload(.file, $0) }
      return payload == SoakPayload(identity: identity, number: UInt64(place))
    }
  }
}
