import Glibc
import HostcallLoop
import HostcallTestSupport
import HostcallWire

/// A connection that never waits: frames go into a buffer that leaves as the socket takes it, and come as they come.
final class SoakConnection {
  let descriptor: Int32
  private(set) var isOpen = true
  private var decoder = FrameDecoder(direction: .toPeer, largestBodyBytes: 64 << 20)
  private var output: [UInt8] = []
  private var sentBytes = 0
  /// Descriptors that leave with the byte at this place of `output`, in order.
  private var attached: [(place: Int, descriptors: PassedDescriptors)] = []
  /// Descriptors that have come and whose frame has not been whole yet.
  private var arrived: [PassedDescriptors] = []
  private let control = ControlMessage.Room()
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
    guard isOpen else { return }
    isOpen = false
    // A program that is just being started has a copy until its exec; this ends the connection all the same.
    shutdown(descriptor, Int32(SHUT_RDWR))
    Glibc.close(descriptor)
  }

  /// How many bytes wait to leave.
  var queuedBytes: Int { output.count - sentBytes }

  func send(_ bytes: [UInt8]) {
    output += bytes
  }

  func send(
    _ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: [UInt8] = [],
    descriptors: PassedDescriptors? = nil
  ) {
    if let descriptors { attached.append((output.count, descriptors)) }
    FrameEncoder.append(header, name: name, metadata: metadata, payload: payload, to: &output)
  }

  /// Sends what the socket takes, of at most so many bytes; false at the end of the connection.
  func flush(limit: Int = .max) -> Bool {
    guard isOpen else { return false }
    var left = limit
    while queuedBytes > 0, left > 0 {
      let count = sendOnce(limit: left)
      if count < 0 { return errno == EAGAIN || errno == ETOOMANYREFS }
      sentBytes += count
      left -= count
    }
    if sentBytes == output.count || sentBytes > 1 << 20 {
      output.removeFirst(sentBytes)
      for index in attached.indices { attached[index].place -= sentBytes }
      sentBytes = 0
    }
    return true
  }

  /// Sends once, no further than to the next descriptors; those that are next go along.
  private func sendOnce(limit: Int) -> Int {
    let now = attached.first.flatMap { $0.place == sentBytes ? $0.descriptors : nil }
    let next = attached.dropFirst(now == nil ? 0 : 1).first?.place ?? output.count
    let most = min(next - sentBytes, limit)
    let sent = output.withUnsafeMutableBytes { output in
      var piece = iovec(iov_base: output.baseAddress! + sentBytes, iov_len: most)
      return withUnsafeMutablePointer(to: &piece) { piece in
        var message = msghdr()
        message.msg_iov = piece
        message.msg_iovlen = 1
        let flags = Int32(MSG_NOSIGNAL | MSG_DONTWAIT)
        guard let now else { return sendmsg(descriptor, &message, flags) }
        return ControlMessage.with(now.numbers) { control in
          message.msg_control = control.baseAddress
          message.msg_controllen = control.count
          return sendmsg(descriptor, &message, flags)
        }
      }
    }
    if sent > 0, now != nil { attached.removeFirst() }
    return sent
  }

  /// Takes what has come; false at the end of the connection, or after a frame that no daemon may send.
  func receive(_ take: (DecodedFrame, PassedDescriptors?) -> Void) throws(ProtocolViolation) -> Bool {
    for _ in 0..<4 {
      guard isOpen else { return false }
      let count = receiveOnce()
      if count == 0 { return false }
      if count < 0 { return errno == EAGAIN }
      decoder.begin(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      while isOpen, let frame = try decoder.next() {
        let hasSome = frame.header.flags.contains(.descriptors) && !arrived.isEmpty
        take(frame, hasSome ? arrived.removeFirst() : nil)
      }
      decoder.end()
    }
    return true
  }

  private func receiveOnce() -> Int {
    var piece = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
    return withUnsafeMutablePointer(to: &piece) { piece in
      var message = msghdr()
      message.msg_iov = piece
      message.msg_iovlen = 1
      message.msg_control = control.bytes.baseAddress
      message.msg_controllen = control.bytes.count
      let count = recvmsg(descriptor, &message, Int32(MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
      if count > 0, message.msg_controllen > 0 {
        let came = UnsafeRawBufferPointer(rebasing: control.bytes[..<message.msg_controllen])
        arrived.append(PassedDescriptors(takingOver: ControlMessage.descriptors(in: came)))
      }
      return count
    }
  }

  /// Whether descriptors have come that no frame has claimed.
  var hasUnclaimedDescriptors: Bool { !arrived.isEmpty && decoder.isBetweenFrames }
}
