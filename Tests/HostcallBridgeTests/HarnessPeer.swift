import HostcallWire
import Testing

@testable import HostcallBridge

/// One peer of a ``BridgeHarness``: what it sends, and all that it was ever sent.
final class HarnessPeer {
  let id: PeerID
  /// All bytes that the daemon has for it; how many of them have left is said by ``gone(sentBytes:)``.
  private(set) var stream: [UInt8] = []
  /// Large bodies that frames end with, by where these end.
  var owners: [Int: LargeBody] = [:]
  /// Frames that no test has looked at yet.
  private(set) var inbox: [ReceivedFrame] = []
  /// Whether the bridge had it closed.
  var isClosed = false
  private unowned let harness: BridgeHarness
  private var toDaemon: FrameDecoder
  private var toPeer = FrameDecoder(direction: .toPeer, largestBodyBytes: .max)

  init(id: PeerID, harness: BridgeHarness, largestBodyBytes: UInt32) {
    self.id = id
    self.harness = harness
    toDaemon = FrameDecoder(
      direction: .toDaemon, largestBodyBytes: largestBodyBytes, segments: harness.segments)
  }

  /// Who the kernel says that it is.
  var identity: PeerIdentity { harness.bridge.peers[id.slot].identity }

  // MARK: What it gets

  func append(
    _ header: FrameHeader, _ prefix: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer
  ) -> ReceivedFrame {
    let start = stream.count
    withUnsafeBytes(of: header) { stream.append(contentsOf: $0) }
    stream.append(contentsOf: prefix)
    stream.append(contentsOf: rest)
    return stream.withUnsafeBytes { stream in
      toPeer.begin(UnsafeRawBufferPointer(rebasing: stream[start...]))
      guard let decoded = try? toPeer.next() else {
        preconditionFailure("the daemon sent no whole, right frame: \(header)")
      }
      let frame = ReceivedFrame(decoded)
      toPeer.end()
      precondition(toPeer.keptBytes == 0, "the daemon sent more bytes than its header says: \(header)")
      inbox.append(frame)
      return frame
    }
  }

  /// The next frame, whatever it is.
  func take() -> ReceivedFrame? {
    inbox.isEmpty ? nil : inbox.removeFirst()
  }

  func takeAll() -> [ReceivedFrame] {
    defer { inbox = [] }
    return inbox
  }

  /// The next frame, which has to be of this kind.
  func next(_ kind: FrameKind, sourceLocation: SourceLocation = #_sourceLocation) throws -> ReceivedFrame {
    let frame = try #require(take(), "there is no \(kind)", sourceLocation: sourceLocation)
    try #require(frame.kind == kind, "\(frame)", sourceLocation: sourceLocation)
    return frame
  }

  /// The next frame has to be a RESULT; its status, request id and text.
  @discardableResult
  func expectResult(
    _ status: Status, request: UInt64, containing text: String = "", sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> ReceivedFrame {
    let frame = try next(.result, sourceLocation: sourceLocation)
    #expect(frame.status == status && frame.id == request, "\(frame)", sourceLocation: sourceLocation)
    #expect(text.isEmpty || frame.text.contains(text), "\(frame)", sourceLocation: sourceLocation)
    if !frame.flags.contains(.fromWorker), status != .ok {
      #expect(!frame.payload.isEmpty, "no sentence for people: \(frame)", sourceLocation: sourceLocation)
    }
    return frame
  }

  func expectRejected(
    _ status: Status, _ call: UInt64, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let frame = try next(.rejected, sourceLocation: sourceLocation)
    #expect(frame.status == status && frame.id == call, "\(frame)", sourceLocation: sourceLocation)
  }

  /// The connection was ended for this reason, and nothing else was said.
  func expectGoaway(
    _ status: Status = .protocolViolation, containing text: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let frame = try next(.goaway, sourceLocation: sourceLocation)
    #expect(frame.status == status && frame.text.contains(text), "\(frame)", sourceLocation: sourceLocation)
    #expect(!frame.payload.isEmpty && inbox.isEmpty && isClosed, sourceLocation: sourceLocation)
  }

  func expectNothing(sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(inbox.isEmpty, sourceLocation: sourceLocation)
  }

  // MARK: What it sends

  func send(bytes: [UInt8]) {
    bytes.withUnsafeBytes { bytes in
      toDaemon.begin(bytes)
      do throws(ProtocolViolation) {
        while let frame = try toDaemon.next() { harness.received(frame, from: self) }
      } catch {
        harness.fact { $0.peerBrokeProtocol(id, error, into: &$1) }
      }
      toDaemon.end()
    }
  }

  func send(
    _ header: FrameHeader, name: String = "", metadata: Metadata = [:], payload: [UInt8] = []
  ) {
    send(bytes: FrameEncoder.encode(header, name: name, metadata: metadata, payload: payload))
  }

  func hello(lowest: UInt32 = 1, highest: UInt32 = 1, client: String = "test/1") {
    send(
      FrameHeader(kind: .hello, id: FrameHeader.helloID, function: lowest, aux: highest), metadata: ["client": client])
  }

  func ping(_ id: UInt64) {
    send(FrameHeader(kind: .ping, id: id), payload: [1, 2])
  }

  func goaway() {
    send(FrameHeader(kind: .goaway))
  }

  /// REGISTER; its RESULT is not taken.
  func sendRegister(
    _ name: String, request: UInt64 = 900, concurrency: UInt32 = 0, timeout: UInt32 = 0, _ options: Metadata = [:]
  ) {
    send(
      FrameHeader(kind: .register, id: request, timeoutMilliseconds: timeout, aux: concurrency), name: name,
      metadata: options)
  }

  /// REGISTER that has to succeed; the handle.
  @discardableResult
  func register(
    _ name: String, concurrency: UInt32 = 0, timeout: UInt32 = 0, _ options: Metadata = [:],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> UInt32 {
    let before = inbox.count
    sendRegister(name, concurrency: concurrency, timeout: timeout, options)
    try #require(inbox.count > before, sourceLocation: sourceLocation)
    let result = inbox.remove(at: before)
    try #require(result.kind == .result && result.status == .ok, "\(result)", sourceLocation: sourceLocation)
    return result.header.aux
  }

  /// UNREGISTER; its RESULT is not taken.
  func unregister(_ handle: UInt32, request: UInt64 = 901) {
    send(FrameHeader(kind: .unregister, id: request, function: handle))
  }

  /// BIND that has to succeed; the handle.
  func bind(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> UInt32 {
    send(FrameHeader(kind: .bind, id: 902), name: name)
    let result = try expectResult(.ok, request: 902, sourceLocation: sourceLocation)
    #expect(result.header.aux != 0, sourceLocation: sourceLocation)
    return result.header.aux
  }

  func call(
    _ name: String, request: UInt64, _ payload: [UInt8] = [], flags: FrameFlags = [], timeout: UInt32 = 0,
    metadata: Metadata = [:], encoding: PayloadEncoding = .raw
  ) {
    send(
      FrameHeader(kind: .call, flags: flags, encoding: encoding, id: request, timeoutMilliseconds: timeout), name: name,
      metadata: metadata, payload: payload)
  }

  func call(
    handle: UInt32, request: UInt64, _ payload: [UInt8] = [], flags: FrameFlags = [], timeout: UInt32 = 0,
    metadata: Metadata = [:]
  ) {
    send(
      FrameHeader(kind: .call, flags: flags, id: request, function: handle, timeoutMilliseconds: timeout),
      metadata: metadata, payload: payload)
  }

  func complete(
    _ call: UInt64, _ status: Status = .ok, _ payload: [UInt8] = [], metadata: Metadata = [:],
    encoding: PayloadEncoding = .raw
  ) {
    send(
      FrameHeader(kind: .complete, encoding: encoding, status: status, id: call), metadata: metadata, payload: payload)
  }

  func cancel(_ request: UInt64) {
    send(FrameHeader(kind: .cancel, id: request))
  }

  // MARK: Streams and events

  /// CALL with items.
  func stream(
    _ name: String, request: UInt64, credit: UInt32 = 0, flags: FrameFlags = [], timeout: UInt32 = 0,
    _ payload: [UInt8] = []
  ) {
    send(
      FrameHeader(kind: .call, flags: flags, id: request, timeoutMilliseconds: timeout, aux: credit), name: name,
      payload: payload)
  }

  func item(
    _ id: UInt64, _ place: UInt32, _ text: String = "", last: Bool = false, encoding: PayloadEncoding = .raw
  ) {
    send(
      FrameHeader(kind: .item, flags: last ? .last : [], encoding: encoding, id: id, aux: place),
      payload: Array(text.utf8))
  }

  func credit(_ id: UInt64, _ items: UInt32) {
    send(FrameHeader(kind: .credit, id: id, aux: items))
  }

  /// SUBSCRIBE that has to succeed.
  func subscribe(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    send(FrameHeader(kind: .subscribe, id: 903), name: name)
    try expectResult(.ok, request: 903, sourceLocation: sourceLocation)
  }

  /// PUBLISH with the request id 904, or without an answer.
  func publish(_ name: String, _ text: String = "", isAnswered: Bool = true, metadata: Metadata = [:]) {
    send(
      FrameHeader(kind: .publish, id: isAnswered ? 904 : 0), name: name, metadata: metadata, payload: Array(text.utf8))
  }

  /// The next frame has to be an item.
  func expectItem(
    _ id: UInt64, _ place: UInt32, _ text: String = "", last: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let frame = try next(.item, sourceLocation: sourceLocation)
    let isRight =
      frame.id == id && frame.header.aux == place && frame.text == text && frame.flags == (last ? .last : [])
    #expect(isRight, "\(frame)", sourceLocation: sourceLocation)
  }

  func expectCredit(_ id: UInt64, _ items: UInt32, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let frame = try next(.credit, sourceLocation: sourceLocation)
    #expect(frame.id == id && frame.header.aux == items, "\(frame)", sourceLocation: sourceLocation)
  }

  /// The next frame has to be an event.
  func expectEvent(
    _ name: String, _ text: String, place: UInt64, dropped: UInt32 = 0,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let frame = try next(.event, sourceLocation: sourceLocation)
    let isRight = frame.name == name && frame.text == text && frame.id == place && frame.header.aux == dropped
    #expect(isRight, "\(frame)", sourceLocation: sourceLocation)
  }

  // MARK: Its end

  /// The connection has ended; so many of the bytes for it had left, by default all.
  func gone(sentBytes: Int? = nil) {
    harness.gone(self, sentBytes: sentBytes ?? stream.count)
  }
}
