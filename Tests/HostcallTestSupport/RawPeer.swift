import Glibc
package import HostcallWire

/// A peer that speaks frames over a blocking socket, one byte for another as the test says.
///
/// Every wait has an end of 20 seconds, after which it throws.
package final class RawPeer {
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  /// A frame as it came.
  package struct Received {
    package let header: FrameHeader
    package let kind: FrameKind
    package let name: String
    package let metadata: Metadata
    package let payload: [UInt8]

    package var text: String { String(decoding: payload, as: UTF8.self) }
  }

  package let descriptor: Int32
  /// Open files that came and that the test has not taken; closed with the peer.
  package var received: [Int32] = []
  private var isOpen = true

  /// Connects; says HELLO and takes WELCOME unless told otherwise.
  package init(_ path: String, hello: Bool = true, features: [String] = []) throws {
    // Not for programs that other tests start: they would hold the connection open.
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let outcome = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard outcome == 0 else {
      let reason = String(cString: strerror(errno))
      Glibc.close(descriptor)
      isOpen = false
      throw Failure(description: "cannot connect to \(path): \(reason)")
    }
    setTimeout(SO_RCVTIMEO, milliseconds: 20_000)
    setTimeout(SO_SNDTIMEO, milliseconds: 20_000)
    if hello {
      try send(Greeting.hello(client: "raw/1", features: features))
      try expect(.welcome)
    }
  }

  deinit {
    close()
  }

  package func close() {
    guard isOpen else { return }
    isOpen = false
    // A program that another test is just starting has a copy until its exec; this ends the connection all the same.
    shutdown(descriptor, Int32(SHUT_RDWR))
    Glibc.close(descriptor)
    for file in received { Glibc.close(file) }
    received = []
  }

  /// Ends the connection for both sides. The descriptor stays until the peer goes, for a thread that still reads it.
  package func hangUp() {
    shutdown(descriptor, Int32(SHUT_RDWR))
  }

  /// Whether the other side has ended the connection; what has come and was not read stays.
  package var hasEnded: Bool {
    var interest = pollfd(fd: descriptor, events: 0, revents: 0)
    return poll(&interest, 1, 0) > 0
  }

  /// Waits for what comes for as long as it takes, and not 20 seconds.
  package func waitForEver() {
    setTimeout(SO_RCVTIMEO, milliseconds: 0)
  }

  /// Gives up sending when nothing has left for so long.
  package func limitSending(milliseconds: Int) {
    setTimeout(SO_SNDTIMEO, milliseconds: milliseconds)
  }

  private func setTimeout(_ option: Int32, milliseconds: Int) {
    var limit = timeval(tv_sec: milliseconds / 1_000, tv_usec: milliseconds % 1_000 * 1_000)
    setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  // MARK: Sending

  package func send(_ bytes: [UInt8]) throws {
    var start = 0
    while start < bytes.count {
      let sent = bytes[start...].withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { throw Failure(description: "cannot send: \(String(cString: strerror(errno)))") }
      start += sent
    }
  }

  package func send(
    _ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: [UInt8] = []
  ) throws {
    try send(FrameEncoder.encode(header, name: name, metadata: metadata, payload: payload))
  }

  // MARK: Receiving

  /// Exactly so many bytes, or nil where the connection ended before the first of them.
  package func receive(_ count: Int) throws -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var have = 0
    while have < count {
      let got = bytes.withUnsafeMutableBytes { receive(into: UnsafeMutableRawBufferPointer(rebasing: $0[have...])) }
      if got == 0 || (got < 0 && errno == ECONNRESET) {
        if have == 0 { return nil }
        throw Failure(description: "the connection ended in the middle of a frame")
      }
      guard got > 0 else { throw Failure(description: "nothing came: \(String(cString: strerror(errno)))") }
      have += got
    }
    return bytes
  }

  /// The next frame, or nil at the end.
  package func next() throws -> Received? {
    guard let head = try receive(FrameHeader.byteCount) else { return nil }
    let header = head.withUnsafeBytes { FrameHeader(loading: $0.baseAddress!) }
    guard let kind = header.kind, header.partsFit else { throw Failure(description: "a frame that makes no sense") }
    let body = header.bodyBytes == 0 ? [] : try receive(Int(header.bodyBytes)) ?? []
    let nameEnd = Int(header.nameBytes)
    let metadataEnd = nameEnd + Int(header.metadataBytes)
    return Received(
      header: header, kind: kind, name: String(decoding: body[..<nameEnd], as: UTF8.self),
      metadata: body[nameEnd..<metadataEnd].withUnsafeBytes { Metadata(decoding: $0) },
      payload: Array(body[metadataEnd...]))
  }

  /// The next frame, which is of this kind.
  @discardableResult
  package func expect(_ kind: FrameKind) throws -> Received {
    guard let frame = try next() else { throw Failure(description: "the connection ended, \(kind) was due") }
    guard frame.kind == kind else {
      throw Failure(description: "\(frame.kind) came (\(frame.header.status): \(frame.text)), \(kind) was due")
    }
    return frame
  }

  /// The connection ends, after whatever else comes.
  package func expectEnd() throws {
    while try next() != nil {}
  }

  /// Everything that was sent before has been handled when it returns.
  package func barrier() throws {
    try send(FrameHeader(kind: .ping, id: 0xbabe))
    try expect(.pong)
  }

  // MARK: Conversation

  /// Registers a name; gives the handle.
  @discardableResult
  package func register(_ name: String, concurrency: UInt32 = 0, metadata: Metadata = [:]) throws -> UInt32 {
    try send(FrameHeader(kind: .register, id: 0xfeed, aux: concurrency), name: name, metadata: metadata)
    let result = try expect(.result)
    guard result.header.status == .ok else { throw Failure(description: "\(result.header.status): \(result.text)") }
    return result.header.aux
  }

  package func call(
    _ name: String, request: UInt64, flags: FrameFlags = [], timeoutMilliseconds: UInt32 = 0, payload: [UInt8] = []
  ) throws {
    try send(
      FrameHeader(kind: .call, flags: flags, id: request, timeoutMilliseconds: timeoutMilliseconds), name: name,
      payload: payload)
  }

  package func complete(_ id: UInt64, status: Status = .ok, payload: [UInt8] = []) throws {
    try send(FrameHeader(kind: .complete, status: status, id: id), payload: payload)
  }
}
