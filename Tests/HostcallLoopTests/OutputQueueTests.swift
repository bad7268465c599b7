import Glibc
import HostcallTestSupport
import Testing

@testable import HostcallLoop

@Suite("OutputQueue")
struct OutputQueueTests {
  /// A frame as the model remembers it.
  private struct Frame {
    let end: UInt64
    let bytes: [UInt8]
    let isShared: Bool
    /// Who keeps its last part; the queue alone holds it.
    weak var owner: Owner?
  }

  /// Bytes that a queue shares, cut at random.
  private final class Owner {
    private let memory: UnsafeMutableRawBufferPointer
    let runs: [UnsafeRawBufferPointer]

    init(_ bytes: ArraySlice<UInt8>, _ random: inout SeededGenerator) {
      memory = .allocate(byteCount: bytes.count, alignment: 1)
      memory.copyBytes(from: bytes)
      var runs: [UnsafeRawBufferPointer] = []
      var start = 0
      while start < bytes.count {
        let count = Int.random(in: 1...(bytes.count - start), using: &random)
        runs.append(UnsafeRawBufferPointer(rebasing: memory[start..<(start + count)]))
        start += count
      }
      self.runs = runs
    }

    deinit {
      memory.initializeMemory(as: UInt8.self, repeating: 0xaa)
      memory.deallocate()
    }
  }

  /// Appends a frame whose last part, if it has two bytes, is shared.
  private static func appendSharing(
    _ bytes: [UInt8], to queue: inout OutputQueue, _ random: inout SeededGenerator
  ) -> Owner? {
    guard bytes.count > 1 else {
      append(bytes, to: &queue)
      return nil
    }
    let own = Int.random(in: 1...min(bytes.count - 1, 300), using: &random)
    let owner = Owner(bytes[own...], &random)
    queue.appendFrame(byteCount: own, sharing: owner.runs, of: owner) { $0.copyBytes(from: bytes[..<own]) }
    return owner
  }

  private static func append(_ bytes: [UInt8], to queue: inout OutputQueue) {
    queue.appendFrame(byteCount: bytes.count) { $0.copyBytes(from: bytes) }
  }

  /// Whether what has not left is exactly `expected`; by `memcmp`, for Swift's own comparison is slow in debug builds.
  private static func holds(_ expected: [UInt8], _ queue: borrowing OutputQueue) -> Bool {
    var offset = 0
    var isEqual = true
    _ = queue.forEachPiece(limit: .max) { _, piece in
      isEqual = isEqual && equal(piece.baseAddress, piece.count, expected, from: offset)
      offset += piece.count
    }
    return isEqual && offset == expected.count
  }

  private static func equal(
    _ bytes: UnsafeRawPointer?, _ count: Int, _ expected: [UInt8], from offset: Int = 0
  ) -> Bool {
    guard let bytes, offset + count <= expected.count else { return false }
    return expected.withUnsafeBytes { memcmp(bytes, $0.baseAddress! + offset, count) == 0 }
  }

  @Test("random histories agree with a plain array of bytes")
  func randomHistories() {
    var random = SeededGenerator(announcedFor: "OutputQueue")
    let pool = ChunkPool()
    for _ in 0..<60 {
      var queue = OutputQueue(pool: pool)
      var frames: [Frame] = []
      var unsent: [UInt8] = []
      var sent: UInt64 = 0
      var appended: UInt64 = 0
      for _ in 0..<100 {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<6:
          let largest = [64, 4_000, 65_472, 200_000].randomElement(using: &random) ?? 64
          let bytes = [UInt8](
            repeating: .random(in: 0 ... .max, using: &random), count: .random(in: 1...largest, using: &random))
          var owner: Owner?
          if Bool.random(using: &random) {
            owner = Self.appendSharing(bytes, to: &queue, &random)
          } else {
            Self.append(bytes, to: &queue)
          }
          appended += UInt64(bytes.count)
          frames.append(Frame(end: appended, bytes: bytes, isShared: owner != nil, owner: owner))
          unsent += bytes
        case 6..<9:
          let count = Int.random(in: 0...queue.queuedBytes, using: &random)
          queue.didSend(byteCount: count)
          sent += UInt64(count)
        default:
          let all = queue.queuedBytes
          queue.didSend(byteCount: all)
          sent += UInt64(all)
        }
        #expect(queue.sentBytes == sent && queue.appendedBytes == appended)
        #expect(queue.queuedBytes == Int(appended - sent))
        check(frames, in: queue)
        frames.removeAll { $0.end <= sent }
        unsent.removeFirst(unsent.count - Int(appended - sent))
        let holdsUnsent = Self.holds(unsent, queue)
        #expect(holdsUnsent)
        if queue.queuedBytes == 0 { #expect(pool.chunksInUse == 0) }
      }
      queue.removeAll()
      #expect(frames.allSatisfy { $0.owner == nil })
      #expect(pool.chunksInUse == 0 && queue.queuedBytes == 0 && queue.appendedBytes == sent)
      #expect(pool.spareCount <= ChunkPool.maximumSpareChunks)
    }
  }

  private func check(_ frames: [Frame], in queue: borrowing OutputQueue) {
    for frame in frames {
      let found = queue.withFrame(endingAt: frame.end, byteCount: frame.bytes.count) {
        Self.equal($0.baseAddress, $0.count, frame.bytes)
      }
      let isUnsent = frame.end > queue.sentBytes
      #expect(found == (isUnsent && !frame.isShared ? true : nil))
      // Held until its last byte has left, and not a moment longer.
      #expect((frame.owner != nil) == (isUnsent && frame.isShared))
      #expect(queue.owner(ofFrameEndingAt: frame.end) === frame.owner)
    }
  }

  @Test("small frames share a chunk, a frame never straddles two, a large one has its own")
  func chunkBoundaries() {
    let pool = ChunkPool()
    var queue = OutputQueue(pool: pool)
    let size = ChunkPool.chunkByteCount
    Self.append([UInt8](repeating: 1, count: size - 1), to: &queue)
    Self.append([2], to: &queue)
    #expect(pool.chunksInUse == 1)
    Self.append([3, 3], to: &queue)
    #expect(pool.chunksInUse == 2)
    Self.append([UInt8](repeating: 4, count: size), to: &queue)
    #expect(pool.chunksInUse == 3)
    Self.append([UInt8](repeating: 5, count: 1_000_000), to: &queue)
    Self.append([6], to: &queue)
    #expect(pool.chunksInUse == 5)
    #expect(queue.forEachPiece(limit: 3) { _, _ in } == 3)
    queue.didSend(byteCount: queue.queuedBytes)
    #expect(pool.chunksInUse == 0)
    // The large one goes back to the allocator.
    #expect(pool.spareCount == 4)
  }

  @Test("the pool keeps no more than 16 spare chunks")
  func poolIsBounded() {
    let pool = ChunkPool()
    var queue = OutputQueue(pool: pool)
    for _ in 0..<40 { Self.append([UInt8](repeating: 1, count: ChunkPool.chunkByteCount), to: &queue) }
    #expect(pool.chunksInUse == 40)
    queue.removeAll()
    #expect(pool.chunksInUse == 0 && pool.spareCount == ChunkPool.maximumSpareChunks)
  }

  @Test("a frame that never was, or whose place is not a frame in one chunk, is not found")
  func unknownFrames() {
    var queue = OutputQueue(pool: ChunkPool())
    Self.append([1, 2, 3], to: &queue)
    #expect(queue.withFrame(endingAt: 4, byteCount: 3) { _ in 0 } == nil)
    #expect(queue.withFrame(endingAt: 0, byteCount: 0) { _ in 0 } == nil)
    #expect(queue.withFrame(endingAt: 3, byteCount: 4) { _ in 0 } == nil)
    #expect(queue.withFrame(endingAt: 3, byteCount: -1) { _ in 0 } == nil)
    #expect(queue.withFrame(endingAt: 3, byteCount: 3) { Array($0) } == [1, 2, 3])
    queue.didSend(byteCount: 2)
    // Whole until its last byte has left.
    #expect(queue.withFrame(endingAt: 3, byteCount: 3) { Array($0) } == [1, 2, 3])
  }

  @Test("a queue that is released with frames in it frees them")
  func releaseFrees() {
    let pool = ChunkPool()
    for _ in 0..<3 {
      var queue = OutputQueue(pool: pool)
      for _ in 0..<5 { Self.append([UInt8](repeating: 1, count: 60_000), to: &queue) }
    }
    // AddressSanitizer's leak check is what proves it; the pool only must not have got anything back.
    #expect(pool.spareCount == 0)
  }
}
