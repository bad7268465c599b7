import Glibc
import HostcallFunctions
import HostcallTestSupport
import HostcallWire
import Testing

@testable import HostcallClient
@testable import HostcallLoop

/// What a test expected and did not get.
struct Unexpected: Error, CustomStringConvertible {
  let description: String
}

/// Runs `body` on a thread of its own, which may block.
func onThread(_ body: @escaping @Sendable () -> Void) {
  do {
    try SystemThread(named: "test", body).detach()
  } catch {
    preconditionFailure("\(error)")
  }
}

/// A descriptor that is closed when neither the test nor the thread that blocks on it needs it: its number cannot come
/// to mean another socket before that.
final class Descriptor: Sendable {
  let number: Int32

  init(_ number: Int32) { self.number = number }

  deinit { close(number) }

  /// Ends what blocks on it.
  func shutDown() { shutdown(number, Int32(SHUT_RDWR)) }
}

/// A daemon that does nothing but what a test tells it to, on a socket of its own.
final class FakeDaemon: Sendable {
  let path: String
  let directory: String
  private let listener: Descriptor
  private let peers = Mailbox<FakePeer>()

  /// - Parameter isReading: whether its peers take what the client sends from the start.
  convenience init(isReading: Bool = true) throws {
    var template = Array("/tmp/hostcall-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Unexpected(description: "mkdtemp failed with \(errno)") }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    try self.init(directory: directory, isReading: isReading)
  }

  /// Listens in a directory that is there, such as that of a daemon that has stopped.
  init(directory: String, isReading: Bool = true) throws {
    self.directory = directory
    path = directory + "/s"
    listener = Descriptor(try UnixSocket.listen(path: path, backlog: 16, mode: 0o600))
    _ = fcntl(listener.number, F_SETFL, fcntl(listener.number, F_GETFL) & ~O_NONBLOCK)
    let (listener, peers) = (listener, peers)
    onThread {
      while true {
        let descriptor = Glibc.accept(listener.number, nil, nil)
        guard descriptor >= 0 else { break }
        peers.put(FakePeer(descriptor, isReading: isReading))
      }
      peers.close()
    }
  }

  deinit {
    stopListening()
    rmdir(directory)
  }

  /// From now on nobody can connect.
  func stopListening() {
    unlink(path)
    listener.shutDown()
  }

  /// The next peer, before its HELLO is read.
  func acceptSilently() async throws -> FakePeer {
    guard let peer = await peers.next() else { throw Unexpected(description: "nobody connected") }
    return peer
  }

  /// The next peer, after HELLO and WELCOME.
  @discardableResult
  func accept(
    largestBodyBytes: UInt32 = 1 << 20, instance: String = "1", features: String = "streams,events,descriptors"
  ) async throws -> FakePeer {
    let peer = try await acceptSilently()
    try await peer.expect(.hello)
    peer.welcome(largestBodyBytes: largestBodyBytes, instance: instance, features: features)
    return peer
  }

  /// A configuration for a client of this daemon that loses no time.
  func configuration(
    reconnect: ReconnectPolicy = .whenRegistered(initialDelay: .milliseconds(1), maximumDelay: .milliseconds(4))
  ) -> HostcallClient.Configuration {
    var configuration = HostcallClient.Configuration(socketPath: path, clientName: "tests/1", reconnect: reconnect)
    // The machine may be busy; what is tested here is not how fast.
    configuration.connectTimeout = .seconds(60)
    return configuration
  }

  /// A client and its peer.
  func connect(
    largestBodyBytes: UInt32 = 1 << 20, features: String = "streams,events,descriptors",
    _ change: (inout HostcallClient.Configuration) -> Void = { _ in }
  ) async throws -> (HostcallClient, FakePeer) {
    var configuration = configuration()
    change(&configuration)
    async let client = HostcallClient.connect(configuration)
    let peer = try await accept(largestBodyBytes: largestBodyBytes, features: features)
    return (try await client, peer)
  }
}

/// A frame as the fake daemon got it.
struct ReceivedFrame: Sendable {
  let header: FrameHeader
  let kind: FrameKind
  let name: String
  let metadata: Metadata
  let payload: [UInt8]
  let descriptors: HostcallDescriptors

  init(_ frame: DecodedFrame, _ descriptors: HostcallDescriptors) {
    header = frame.header
    kind = frame.kind
    name = String(decoding: frame.name, as: UTF8.self)
    metadata = Metadata(decoding: frame.metadata)
    payload = Array(frame.payload)
    self.descriptors = descriptors
  }

  var text: String { String(decoding: payload, as: UTF8.self) }
}

/// One connection of a client, from the daemon's side.
///
/// A thread reads its frames, the test takes them and answers.
final class FakePeer: Sendable {
  private let descriptor: Descriptor
  let frames = Mailbox<ReceivedFrame>()

  init(_ number: Int32, isReading: Bool = true) {
    descriptor = Descriptor(number)
    if isReading { startReading() }
  }

  /// Begins to take what the client sends.
  func startReading() {
    let (descriptor, frames) = (descriptor, frames)
    onThread {
      Self.readAll(descriptor.number, into: frames)
      frames.close()
    }
  }

  deinit { hangUp() }

  private static func readAll(_ descriptor: Int32, into frames: Mailbox<ReceivedFrame>) {
    var decoder = FrameDecoder(direction: .toDaemon, largestBodyBytes: .max)
    var descriptors = IncomingDescriptors()
    withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 16) { buffer in
      while true {
        let (count, numbers) = SocketMessage.receive(descriptor, into: buffer)
        guard count > 0 else { return }
        descriptors.begin(numbers.isEmpty ? nil : PassedDescriptors(takingOver: numbers))
        decoder.begin(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        do throws(ProtocolViolation) {
          while let frame = try decoder.next() { frames.put(ReceivedFrame(frame, try descriptors.take(for: frame))) }
          decoder.end()
          try descriptors.end(keepsPart: decoder.keptBytes > 0)
        } catch {
          Issue.record("the client broke the protocol: \(error)")
          return
        }
      }
    }
  }

  /// The next frame, which has to be of this kind.
  @discardableResult
  func expect(_ kind: FrameKind) async throws -> ReceivedFrame {
    guard let frame = await frames.next() else { throw Unexpected(description: "no more frames, and not \(kind)") }
    guard frame.kind == kind else { throw Unexpected(description: "\(frame.kind), and not \(kind)") }
    return frame
  }

  /// Waits for the client to close its side, with nothing more before it.
  func expectEnd() async throws {
    if let frame = await frames.next() { throw Unexpected(description: "\(frame.kind), and not the end") }
  }

  /// Sends bytes as they are.
  func send(_ bytes: [UInt8]) {
    var position = 0
    while position < bytes.count {
      let sent = bytes[position...].withUnsafeBytes {
        Glibc.send(descriptor.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { return }
      position += sent
    }
  }

  /// Sends bytes as they are, descriptors with the first of them.
  func send(_ bytes: [UInt8], descriptors: [Int32]) {
    let sent = SocketMessage.send(descriptor.number, bytes, descriptors: descriptors)
    if sent > 0 { send(Array(bytes[sent...])) }
  }

  func send(_ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: [UInt8] = []) {
    send(FrameEncoder.encode(header, name: name, metadata: metadata, payload: payload))
  }

  func welcome(
    largestBodyBytes: UInt32 = 1 << 20, instance: String = "1", features: String = "streams,events,descriptors"
  ) {
    send(
      FrameHeader(kind: .welcome, id: 7, function: 1, aux: 1_024),
      metadata: ["server": "fake/1", "instance": instance, "features": features, "max-frame": "\(largestBodyBytes)"])
  }

  /// RESULT for a request.
  func answer(
    _ request: ReceivedFrame, status: Status = .ok, fromWorker: Bool = false, call: UInt64 = 0, aux: UInt32 = 0,
    metadata: Metadata = [:], _ text: String = "", encoding: PayloadEncoding = .raw
  ) {
    send(
      Self.result(
        request, status: status, fromWorker: fromWorker, call: call, aux: aux, metadata: metadata, text,
        encoding: encoding))
  }

  static func result(
    _ request: ReceivedFrame, status: Status = .ok, fromWorker: Bool = false, call: UInt64 = 0, aux: UInt32 = 0,
    metadata: Metadata = [:], _ text: String = "", encoding: PayloadEncoding = .raw
  ) -> [UInt8] {
    var header = FrameHeader(
      kind: .result, flags: fromWorker ? .fromWorker : [], encoding: encoding, status: status, id: request.header.id,
      aux: aux)
    header.call = call
    return FrameEncoder.encode(header, metadata: metadata, payload: Array(text.utf8))
  }

  func invoke(
    _ correlationID: UInt64, handle: UInt32, timeoutMilliseconds: UInt32 = 30_000, name: String = "",
    metadata: Metadata = [:], flags: FrameFlags = [], credit: UInt32 = 0, _ text: String = ""
  ) {
    send(
      FrameHeader(
        kind: .invoke, flags: flags, id: correlationID, function: handle, timeoutMilliseconds: timeoutMilliseconds,
        aux: credit),
      name: name, metadata: metadata, payload: Array(text.utf8))
  }

  func item(_ id: UInt64, place: UInt32, isLast: Bool = false, encoding: PayloadEncoding = .raw, _ text: String = "") {
    send(
      FrameHeader(kind: .item, flags: isLast ? .last : [], encoding: encoding, id: id, aux: place),
      payload: Array(text.utf8))
  }

  func credit(_ id: UInt64, _ items: UInt32) {
    send(FrameHeader(kind: .credit, id: id, aux: items))
  }

  func event(
    _ place: UInt64, _ name: String, dropped: UInt32 = 0, metadata: Metadata = [:], _ text: String = "",
    encoding: PayloadEncoding = .raw
  ) {
    send(
      FrameHeader(kind: .event, encoding: encoding, id: place, aux: dropped), name: name, metadata: metadata,
      payload: Array(text.utf8))
  }

  func cancel(_ correlationID: UInt64, _ status: Status = .cancelled) {
    send(FrameHeader(kind: .cancel, status: status, id: correlationID))
  }

  func goaway(_ status: Status, _ reason: String = "") {
    send(FrameHeader(kind: .goaway, status: status), payload: Array(reason.utf8))
  }

  /// Takes a REGISTER and gives it a handle.
  @discardableResult
  func acceptRegistration(handle: UInt32) async throws -> ReceivedFrame {
    let request = try await expect(.register)
    answer(request, aux: handle)
    return request
  }

  /// Takes a PING and answers it: everything that the client sent before has come.
  func answerPing() async throws {
    let ping = try await expect(.ping)
    send(FrameHeader(kind: .pong, id: ping.header.id), payload: ping.payload)
  }

  /// Waits until the client has handled everything that was sent to it.
  func barrier() async throws {
    send(FrameHeader(kind: .ping, id: 99), payload: [1, 2, 3])
    let pong = try await expect(.pong)
    #expect(pong.header.id == 99)
    #expect(pong.payload == [1, 2, 3])
  }

  /// Ends the connection; what was sent before still arrives.
  func hangUp() {
    descriptor.shutDown()
  }
}

/// The error of something that has to fail.
func failure<Value>(_ body: () async throws(HostcallError) -> Value) async throws -> HostcallError {
  do throws(HostcallError) {
    _ = try await body()
  } catch {
    return error
  }
  throw Unexpected(description: "it did not fail")
}
