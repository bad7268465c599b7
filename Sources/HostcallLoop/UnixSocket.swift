// For SOCK_NONBLOCK and its kin: they reach Swift with the headers of libuv, not with Glibc.
import CLibuv
import Glibc

/// Makes Unix stream sockets.
///
/// Every descriptor is non-blocking and closed on exec; no call here blocks. Any thread.
package enum UnixSocket {
  /// The longest path in bytes: `sun_path` less the NUL at its end.
  package static let maximumPathBytes = 107

  /// Binds a new socket to `path` with the permissions `mode`, whatever the process's umask, and listens.
  ///
  /// The file is never there with more permissions than `mode`. It must not exist: a stale one is the caller's matter
  /// (`EADDRINUSE`). After an error past the binding the file is removed again.
  package static func listen(path: String, backlog: Int32, mode: UInt32) throws(LoopError) -> Int32 {
    let attempted = "listen on \(path)"
    let address = try address(path: path, attempted: attempted)
    let descriptor = try makeSocket(attempted: attempted)
    // Linux gives the file the permissions of the socket, less the umask, so set before binding there is no moment at
    // which it has others.
    guard fchmod(descriptor, mode) == 0, withGeneric(address, { Glibc.bind(descriptor, $0, $1) }) == 0 else {
      throw failure(attempted, closing: descriptor)
    }
    guard chmod(path, mode) == 0, Glibc.listen(descriptor, backlog) == 0 else {
      let error = failure(attempted, closing: descriptor)
      unlink(path)
      throw error
    }
    return descriptor
  }

  /// Connects to the socket at `path`: at once, or not at all.
  ///
  /// Errors: `EAGAIN` when the listener's backlog is full (try again), `ENOENT`, `ECONNREFUSED` when no one listens.
  package static func connect(path: String) throws(LoopError) -> Int32 {
    let attempted = "connect to \(path)"
    let address = try address(path: path, attempted: attempted)
    let descriptor = try makeSocket(attempted: attempted)
    guard withGeneric(address, { Glibc.connect(descriptor, $0, $1) }) == 0 else {
      throw failure(attempted, closing: descriptor)
    }
    return descriptor
  }

  /// The path that a socket is bound to; nil where it has none.
  package static func path(of descriptor: Int32) -> String? {
    var address = sockaddr_un()
    var size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let code = withUnsafeMutableBytes(of: &address) {
      getsockname(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &size)
    }
    guard code == 0, address.sun_family == sa_family_t(AF_UNIX) else { return nil }
    let path = withUnsafeBytes(of: &address.sun_path) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return path.isEmpty ? nil : path
  }

  /// Two sockets connected to each other.
  package static func pair() throws(LoopError) -> (Int32, Int32) {
    var descriptors: (Int32, Int32) = (-1, -1)
    let code = withUnsafeMutableBytes(of: &descriptors) {
      socketpair(AF_UNIX, kind, 0, $0.baseAddress?.assumingMemoryBound(to: Int32.self))
    }
    guard code == 0 else { throw LoopError(attempted: "make a pair of sockets", code: errno) }
    return descriptors
  }

  /// Sends one datagram.
  ///
  /// - Parameters:
  ///   - descriptors: open files that the receiver gets too, at most `PassedDescriptors.maximumCount`.
  ///   - address: the path of the receiver, or its name in the abstract namespace with `@` in front.
  ///   - mayWait: whether to wait for a receiver that has as much as it takes; else that is an error.
  package static func sendDatagram(
    _ bytes: [UInt8], descriptors: [Int32] = [], to address: String, mayWait: Bool = false, attempted: String
  ) throws(LoopError) {
    var receiver = try Self.address(path: address, attempted: attempted)
    var size = socklen_t(MemoryLayout<sockaddr_un>.size)
    if address.hasPrefix("@") {
      // What is abstract begins with a NUL and has no end but that of its size.
      withUnsafeMutableBytes(of: &receiver.sun_path) { $0[0] = 0 }
      size = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2) + socklen_t(address.utf8.count)
    }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw LoopError(attempted: attempted, code: errno, advice: advice(for: errno)) }
    defer { close(descriptor) }
    let sent = withUnsafeMutableBytes(of: &receiver) { receiver in
      send(bytes, descriptors, over: descriptor, to: (receiver, size), mayWait: mayWait)
    }
    guard sent else { throw LoopError(attempted: attempted, code: errno) }
  }

  /// Sends one message whole; false leaves the reason in `errno`.
  ///
  /// - Parameter receiver: where the socket is not connected, the address, and how many bytes of it count.
  static func send(
    _ bytes: [UInt8], _ descriptors: [Int32], over socket: Int32,
    to receiver: (UnsafeMutableRawBufferPointer, socklen_t)? = nil, mayWait: Bool
  ) -> Bool {
    var bytes = bytes
    return bytes.withUnsafeMutableBytes { bytes in
      var piece = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
      return withUnsafeMutablePointer(to: &piece) { piece in
        var message = msghdr()
        message.msg_iov = piece
        message.msg_iovlen = 1
        if let receiver {
          message.msg_name = receiver.0.baseAddress
          message.msg_namelen = receiver.1
        }
        let flags = Int32(MSG_NOSIGNAL) | (mayWait ? 0 : Int32(MSG_DONTWAIT))
        return ControlMessage.with(descriptors) { control in
          if !descriptors.isEmpty {
            message.msg_control = control.baseAddress
            message.msg_controllen = control.count
          }
          while true {
            if sendmsg(socket, &message, flags) >= 0 { return true }
            if errno != EINTR { return false }
          }
        }
      }
    }
  }

  private static var kind: Int32 {
    Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
  }

  private static func makeSocket(attempted: String) throws(LoopError) -> Int32 {
    let descriptor = socket(AF_UNIX, kind, 0)
    guard descriptor >= 0 else { throw LoopError(attempted: attempted, code: errno, advice: advice(for: errno)) }
    return descriptor
  }

  private static func failure(_ attempted: String, closing descriptor: Int32) -> LoopError {
    let code = errno
    close(descriptor)
    let reason = code == EAGAIN ? "too many others are waiting to connect" : nil
    return LoopError(attempted: attempted, code: code, reason: reason, advice: advice(for: code))
  }

  private static func advice(for code: Int32) -> String? {
    switch code {
    case EAGAIN: "try again in a moment"
    case ECONNREFUSED, ENOENT: "is hostcalld running, and is this its socket?"
    case EACCES, EPERM: "choose another path with --socket, or ask for access to this one"
    case EADDRINUSE: "is another hostcalld running?"
    case EMFILE, ENFILE: "raise the limit on open files"
    default: nil
    }
  }

  private static func address(path: String, attempted: String) throws(LoopError) -> sockaddr_un {
    let byteCount = path.utf8.count
    guard byteCount <= maximumPathBytes else {
      let reason = "the path has \(byteCount) bytes, and a socket's may have \(maximumPathBytes)"
      throw LoopError(attempted: attempted, code: ENAMETOOLONG, reason: reason, advice: "choose a shorter path")
    }
    guard byteCount > 0, !path.utf8.contains(0) else {
      throw LoopError(attempted: attempted, code: EINVAL, reason: "the path is empty or contains a NUL")
    }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return address
  }

  private static func withGeneric(
    _ address: sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    withUnsafeBytes(of: address) {
      // The kernel's rule for addresses: one memory, read as the type that its family says.
      body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
    }
  }
}
