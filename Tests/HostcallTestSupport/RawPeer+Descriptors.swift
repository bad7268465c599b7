import Glibc
package import HostcallWire

/// Open files beside the bytes (protocol section 4, *Descriptors*).
extension RawPeer {
  /// Sends bytes, and open files with the first of them; they stay the test's.
  package func send(_ bytes: [UInt8], descriptors: [Int32]) throws {
    let sent = SocketMessage.send(descriptor, bytes, descriptors: descriptors)
    guard sent > 0 else { throw Failure(description: "cannot send: \(String(cString: strerror(errno)))") }
    try send(Array(bytes[sent...]))
  }

  /// Sends a frame with open files, whose number its metadata says.
  package func send(
    _ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: [UInt8] = [], descriptors: [Int32]
  ) throws {
    var header = header
    var metadata = metadata
    header.flags.insert(.descriptors)
    metadata["descriptors"] = "\(descriptors.count)"
    try send(
      FrameEncoder.encode(header, name: name, metadata: metadata, payload: payload), descriptors: descriptors)
  }

  /// The open files that have come so far; the test has to close them.
  package func takeDescriptors() -> [Int32] {
    defer { received = [] }
    return received
  }

  /// One `recvmsg`, whose open files are kept in ``received``.
  func receive(into bytes: UnsafeMutableRawBufferPointer) -> Int {
    let (count, files) = SocketMessage.receive(descriptor, into: bytes)
    received += files
    return count
  }
}
