import HostcallLoop
import HostcallTestSupport

/// Two streams on one loop: the first sends random bytes in frames of random sizes, the second sends them back.
///
/// Loop thread. Both hold their output below a limit, so both meet back-pressure.
final class EchoExchange {
  private static let outputLimit = 300_000
  private let sender: SocketStream
  private let echoer: SocketStream
  private let byteCount: Int
  private var random: SeededGenerator
  private var sentSequence = SeededGenerator(seed: 1)
  private var expectedSequence = SeededGenerator(seed: 1)
  private var appendedBytes = 0
  private(set) var receivedBytes = 0
  private(set) var mismatches = 0
  private let onDone: () -> Void

  init(
    _ loop: EventLoop, sockets: (Int32, Int32), byteCount: Int, random: SeededGenerator, onDone: @escaping () -> Void
  ) throws {
    sender = try SocketStream(loop, descriptor: sockets.0)
    echoer = try SocketStream(loop, descriptor: sockets.1)
    self.byteCount = byteCount
    self.random = random
    self.onDone = onDone
    sender.onReadable = { [unowned self] in check() }
    sender.onWritable = { [unowned self] in send() }
    echoer.onReadable = { [unowned self] in echo() }
    echoer.onWritable = { [unowned self] in if echoer.flush() == .drained { echoer.startReading() } }
    sender.startReading()
    echoer.startReading()
    send()
  }

  private func send() {
    while appendedBytes < byteCount, sender.output.queuedBytes < Self.outputLimit {
      let largest = [100, 5_000, 65_472, 150_000].randomElement(using: &random) ?? 100
      let count = min(Int.random(in: 1...largest, using: &random), byteCount - appendedBytes)
      sender.output.appendFrame(byteCount: count) { frame in
        for index in frame.indices { frame[index] = UInt8(truncatingIfNeeded: sentSequence.next()) }
      }
      appendedBytes += count
      if Bool.random(using: &random), case .failed = sender.flush() { mismatches += 1 }
    }
    if case .failed = sender.flush() { mismatches += 1 }
  }

  private func echo() {
    let bytes = SocketStreamTests.read(echoer, limit: .random(in: 1...100_000, using: &random)).1
    guard !bytes.isEmpty else { return }
    echoer.output.appendFrame(byteCount: bytes.count) { $0.copyBytes(from: bytes) }
    _ = echoer.flush()
    if echoer.output.queuedBytes > Self.outputLimit { echoer.pauseReading() }
  }

  private func check() {
    let bytes = SocketStreamTests.read(sender, limit: .random(in: 1...100_000, using: &random)).1
    for byte in bytes where byte != UInt8(truncatingIfNeeded: expectedSequence.next()) { mismatches += 1 }
    receivedBytes += bytes.count
    if receivedBytes == byteCount { onDone() }
    send()
  }
}
