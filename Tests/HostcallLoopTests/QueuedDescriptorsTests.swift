import HostcallTestSupport
import Testing

@testable import HostcallLoop

@Suite("QueuedDescriptors")
struct QueuedDescriptorsTests {
  /// A frame as the model remembers it; `descriptors` for those that have some.
  private struct Frame {
    let start: UInt64
    let end: UInt64
    let descriptors: PassedDescriptors?
  }

  /// A weak reference, to see what is let go of.
  private struct Weak {
    weak var descriptors: PassedDescriptors?
    let end: UInt64
  }

  @Test("random histories of a queue agree with a list of frames, and nothing is held longer than its frame")
  func randomHistories() {
    var random = SeededGenerator(announcedFor: "QueuedDescriptors")
    for _ in 0..<8 {
      var queue = OutputQueue(pool: ChunkPool())
      var frames: [Frame] = []
      var held: [Weak] = []
      for _ in 0..<200 {
        if random.chance(70) {
          let start = queue.appendedBytes
          let byteCount = 1 + random.below(random.pick([3, 1_000, 100_000]))
          var descriptors: PassedDescriptors?
          if random.chance(60) {
            let batch = PassedDescriptors(takingOver: [TaggedFile.open(start)])
            queue.appendFrame(byteCount: byteCount, descriptors: batch) { _ in }
            held.append(Weak(descriptors: batch, end: start + UInt64(byteCount)))
            descriptors = batch
          } else {
            queue.appendFrame(byteCount: byteCount) { _ in }
          }
          frames.append(Frame(start: start, end: queue.appendedBytes, descriptors: descriptors))
        } else {
          // As a stream sends: no further than to the next frame with descriptors, and often less.
          let most = min(queue.queuedBytes, queue.bytesBeforeNextDescriptors())
          queue.didSend(byteCount: random.chance(70) ? most : random.below(most + 1))
        }
        frames.removeAll { $0.end <= queue.sentBytes }
        held.removeAll { $0.descriptors == nil && $0.end <= queue.sentBytes }
        check(queue, frames)
        #expect(held.allSatisfy { $0.descriptors != nil && $0.end > queue.sentBytes })
      }
      frames = []
      queue.removeAll()
      #expect(!queue.hasDescriptors && held.allSatisfy { $0.descriptors == nil })
    }
  }

  private func check(_ queue: borrowing OutputQueue, _ frames: [Frame]) {
    let withDescriptors = frames.filter { $0.descriptors != nil }
    #expect(queue.hasDescriptors == !withDescriptors.isEmpty)
    let now = withDescriptors.first { $0.start == queue.sentBytes }
    #expect(queue.descriptorsToSendNow() === now?.descriptors)
    let next = withDescriptors.first { $0.start > queue.sentBytes }
    #expect(queue.bytesBeforeNextDescriptors() == next.map { Int($0.start - queue.sentBytes) } ?? .max)
    var pieces = 0
    _ = queue.forEachPiece(limit: .max, byteLimit: queue.bytesBeforeNextDescriptors()) { pieces += $1.count }
    #expect(pieces == min(queue.queuedBytes, queue.bytesBeforeNextDescriptors()))
    for frame in frames {
      #expect(queue.descriptors(ofFrameEndingAt: frame.end) === frame.descriptors)
    }
    #expect(queue.descriptors(ofFrameEndingAt: queue.sentBytes) == nil)
  }
}
