import CHostcall
import Glibc
import HostcallFunctions
import HostcallWire

/// What C callers pass, checked and copied.
enum Arguments {
  /// Text that has to be there.
  static func text(_ pointer: UnsafePointer<CChar>?, _ what: String) throws(InterfaceError) -> String {
    guard let pointer else { throw .null(what) }
    guard let text = String(validatingCString: pointer) else {
      throw InterfaceError(HOSTCALL_INVALID_UTF8, "\(what) is not UTF-8")
    }
    return text
  }

  /// Text that may be left out.
  static func optionalText(_ pointer: UnsafePointer<CChar>?, _ what: String) throws(InterfaceError) -> String? {
    pointer == nil ? nil : try text(pointer, what)
  }

  /// Bytes, copied once.
  static func bytes(_ data: UnsafeRawPointer?, _ size: Int) throws(InterfaceError) -> ArraySlice<UInt8> {
    if size == 0 { return [] }
    guard let data else { throw .null("data, of \(UInt(bitPattern: size)) bytes,") }
    guard size > 0, size <= Int(UInt32.max) else {
      throw InterfaceError(
        HOSTCALL_TOO_LARGE, "data has \(UInt(bitPattern: size)) bytes, and a frame can have \(UInt32.max) at most")
    }
    return ArraySlice(UnsafeRawBufferPointer(start: data, count: size))
  }

  static func metadata(
    _ entries: UnsafePointer<hostcall_metadata>?, _ count: Int
  ) throws(InterfaceError) -> Metadata {
    if count == 0 { return [:] }
    guard let entries else { throw .null("metadata, of \(UInt(bitPattern: count)) entries,") }
    // Each entry takes four bytes at least, of 65,535 in all.
    guard count > 0, count < 1 << 14 else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "\(UInt(bitPattern: count)) entries of metadata are too many")
    }
    var metadata = Metadata()
    for index in 0..<count {
      let key = try text(entries[index].key, "the key of metadata entry \(index)")
      let value = try text(entries[index].value, "the value of metadata entry \(index)")
      guard metadata[key] == nil else {
        throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "the metadata key \(key) is there twice")
      }
      do throws(MetadataError) {
        try metadata.set(key, to: value)
      } catch {
        throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, error.reason)
      }
    }
    return metadata
  }

  static func encoding(_ number: UInt32) throws(InterfaceError) -> PayloadEncoding {
    guard let byte = UInt8(exactly: number), case let encoding = PayloadEncoding(rawValue: byte), encoding.isAssigned
    else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "the encoding \(number) is reserved: choose 0 to 2 or 128 to 255")
    }
    return encoding
  }

  /// Flags, of which every one has to be known.
  static func flags(_ flags: UInt32, allowed: [Int], _ what: String) throws(InterfaceError) -> Set<Int> {
    let unknown = allowed.reduce(flags) { $0 & ~UInt32($1) }
    guard unknown == 0 else {
      throw InterfaceError(
        HOSTCALL_INVALID_ARGUMENT, "\(what) has a flag that cannot be, 0x\(String(unknown, radix: 16))")
    }
    return Set(allowed.filter { flags & UInt32($0) != 0 })
  }

  /// A result that refers to nothing, so that nothing is lost by filling it.
  static func checkEmpty(_ result: UnsafeMutablePointer<hostcall_result>) throws(InterfaceError) {
    guard let present = try structure(UnsafePointer(result), "HOSTCALL_RESULT_INIT") else { return }
    guard present.handle == 0 else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "the result is full: hostcall_result_free comes first")
    }
  }

  /// A structure of which the size is known; nil where it was left out.
  static func structure<Structure>(
    _ pointer: UnsafePointer<Structure>?, _ initializer: String
  ) throws(InterfaceError) -> Structure? {
    guard let pointer else { return nil }
    // Its size comes first; the rest may be read only once it is known to be there.
    let size = UnsafeRawPointer(pointer).loadUnaligned(as: Int.self)
    guard size == MemoryLayout<Structure>.stride else {
      throw InterfaceError(
        HOSTCALL_INVALID_ARGUMENT,
        "\(Structure.self) has the struct_size \(size), and this library knows \(MemoryLayout<Structure>.stride): "
          + "begin with \(initializer), and hostcall_check_abi(HOSTCALL_ABI_VERSION)")
    }
    return pointer.pointee
  }
}
