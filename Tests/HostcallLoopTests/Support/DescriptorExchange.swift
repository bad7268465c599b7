import Glibc
import HostcallLoop
import HostcallTestSupport
import Testing

/// Two streams on one loop: one sends frames, many of them with descriptors, in random sizes and flushes; the other
/// reads in random pieces and checks that each batch comes with the frame that it belongs to.
///
/// Loop thread. A frame is its size, how many descriptors it has, the number of the first, and bytes.
final class DescriptorExchange {
  private static let headerBytes = 16
  private static let outputLimit = 200_000
  private let sender: SocketStream
  private let receiver: SocketStream
  private let frameCount: Int
  private var random: SeededGenerator
  private var framesSent = 0
  private var nextTag: UInt64 = 0
  private var received: [UInt8] = []
  /// How many bytes came before `received`.
  private var receivedStart = 0
  private var framesReceived = 0
  private var expectedTag: UInt64 = 0
  /// Batches with the places in the stream between which the read that brought them was.
  private var batches: [(range: Range<Int>, descriptors: PassedDescriptors)] = []
  private let onDone: () -> Void

  init(
    _ loop: EventLoop, sockets: (Int32, Int32), frameCount: Int, random: SeededGenerator, onDone: @escaping () -> Void
  ) throws {
    var bytes: Int32 = 8_192
    setsockopt(sockets.0, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    sender = try SocketStream(loop, descriptor: sockets.0)
    receiver = try SocketStream(loop, descriptor: sockets.1)
    receiver.acceptsDescriptors = true
    self.frameCount = frameCount
    self.random = random
    self.onDone = onDone
    sender.onWritable = { [unowned self] in send() }
    receiver.onReadable = { [unowned self] in read() }
    receiver.startReading()
    send()
  }

  private func send() {
    while framesSent < frameCount, sender.output.queuedBytes < Self.outputLimit {
      appendFrame()
      framesSent += 1
      if random.oneIn(3), case .failed(let code) = sender.flush() { Issue.record("flush failed with \(code)") }
    }
    if case .failed(let code) = sender.flush() { Issue.record("flush failed with \(code)") }
  }

  private func appendFrame() {
    let byteCount = Self.headerBytes + random.below(random.pick([8, 500, 9_000, 70_000]))
    let count = random.oneIn(2) ? 0 : random.pick([1, 1, 2, 16])
    let first = nextTag
    let fill = { (frame: UnsafeMutableRawBufferPointer) in
      frame.storeBytes(of: UInt32(byteCount), as: UInt32.self)
      frame.storeBytes(of: UInt32(count), toByteOffset: 4, as: UInt32.self)
      frame.storeBytes(of: first, toByteOffset: 8, as: UInt64.self)
    }
    guard count > 0 else { return sender.appendFrame(byteCount: byteCount, fill) }
    nextTag += UInt64(count)
    let descriptors = PassedDescriptors(takingOver: (first..<nextTag).map { TaggedFile.open($0) })
    sender.appendFrame(byteCount: byteCount, descriptors: descriptors, fill)
    #expect(sender.output.descriptors(ofFrameEndingAt: sender.output.appendedBytes) === descriptors)
  }

  private func read() {
    let (outcome, bytes) = SocketStreamTests.read(receiver, limit: 1 + random.below(random.pick([4, 300, 100_000])))
    // Held back for a moment, because what came before is still being closed.
    if outcome == .wouldBlock { return }
    guard case .bytes = outcome else {
      Issue.record("a read came to \(outcome)")
      return onDone()
    }
    let start = receivedStart + received.count
    received += bytes
    if let descriptors = receiver.takeReceivedDescriptors() {
      batches.append((start..<(start + bytes.count), descriptors))
    }
    #expect(receiver.takeReceivedDescriptors() == nil)
    while takeFrame() {}
    if framesReceived == frameCount {
      #expect(batches.isEmpty && expectedTag == nextTag)
      onDone()
    }
  }

  private func takeFrame() -> Bool {
    guard received.count >= Self.headerBytes else { return false }
    let (byteCount, count, first) = received.withUnsafeBytes {
      (
        Int($0.loadUnaligned(as: UInt32.self)), Int($0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)),
        $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
      )
    }
    guard received.count >= byteCount else { return false }
    if count > 0 { checkBatch(count: count, first: first) }
    received.removeFirst(byteCount)
    receivedStart += byteCount
    framesReceived += 1
    return true
  }

  /// The next batch is of the frame that is first in `received`.
  private func checkBatch(count: Int, first: UInt64) {
    guard !batches.isEmpty else {
      Issue.record("frame \(framesReceived) came without its descriptors")
      return
    }
    let (range, descriptors) = batches.removeFirst()
    #expect(range.contains(receivedStart))
    #expect(!descriptors.wasTruncated && descriptors.count == count && first == expectedTag)
    for number in descriptors.numbers {
      #expect(TaggedFile.tag(of: number) == expectedTag && isOpenAndClosedOnExec(number))
      expectedTag += 1
    }
  }
}
