import Glibc
import HostcallTestSupport
import HostcallWire

/// A connection that never waits: frames go into a buffer that leaves as the socket takes it, and come as they come.
final class SoakConnection {
  let descriptor: Int32
  private(set) var isOpen = true
  private var decoder = FrameDecoder(direction: .toPeer, largestBodyBytes: 64 << 20)
  private var output: [UInt8] = []
  private var sentBytes = 0
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

  /// Connects, or gives nil where the socket takes nobody now.
  init?(_ path: String) {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let outcome = withUnsafeBytes(of: &address) {
      connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
    }
    if outcome != 0 {
      Glibc.close(descriptor)
      isOpen = false
      return nil
    }
  }

  deinit {
    close()
    buffer.deallocate()
  }

  func close() {
    if isOpen { Glibc.close(descriptor) }
    isOpen = false
  }

  /// How many bytes wait to leave.
  var queuedBytes: Int { output.count - sentBytes }

  func send(_ bytes: [UInt8]) {
    output += bytes
  }

  func send(_ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: [UInt8] = []) {
    FrameEncoder.append(header, name: name, metadata: metadata, payload: payload, to: &output)
  }

  /// Sends what the socket takes, of at most so many bytes; false at the end of the connection.
  func flush(limit: Int = .max) -> Bool {
    guard isOpen else { return false }
    var left = limit
    while queuedBytes > 0, left > 0 {
      let count = output.withUnsafeBytes {
        Glibc.send(
          descriptor, $0.baseAddress! + sentBytes, min(queuedBytes, left), Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      }
      if count < 0 { return errno == EAGAIN }
      sentBytes += count
      left -= count
    }
    if sentBytes == output.count {
      output.removeAll(keepingCapacity: output.count < 1 << 20)
      sentBytes = 0
    } else if sentBytes > 1 << 20 {
      output.removeFirst(sentBytes)
      sentBytes = 0
    }
    return true
  }

  /// Takes what has come; false at the end of the connection, or after a frame that no daemon may send.
  func receive(_ take: (DecodedFrame) -> Void) throws(ProtocolViolation) -> Bool {
    for _ in 0..<4 {
      guard isOpen else { return false }
      let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
      if count == 0 { return false }
      if count < 0 { return errno == EAGAIN }
      decoder.begin(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      while isOpen, let frame = try decoder.next() { take(frame) }
      decoder.end()
    }
    return true
  }
}
