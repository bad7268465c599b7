/// The header at the start of a chunk's memory; its bytes follow `OutputChunk.headerByteCount` further on, or lie in
/// memory of somebody else's.
@usableFromInline
struct OutputChunk {
  typealias Pointer = UnsafeMutablePointer<OutputChunk>

  /// One cache line, so that the bytes start on the next.
  static let headerByteCount = 64

  /// The chunk that leaves after this one, or the next spare one.
  var next: Pointer?
  /// How many bytes there is room for.
  let capacity: Int
  /// Offset of the first byte that has not left yet.
  var firstUnsent = 0
  /// Offset past the last byte; set when the next chunk is begun, and of no meaning in the last one.
  var end = 0
  /// How many bytes had been appended to the queue before the first one of this chunk.
  var startPosition: UInt64 = 0
  /// Who keeps the bytes, held by this chunk, where they are not its own; and where they are.
  var owner: Unmanaged<AnyObject>?
  var shared: UnsafeMutableRawPointer?

  static func allocate(capacity: Int) -> Pointer {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: headerByteCount + capacity, alignment: MemoryLayout<OutputChunk>.alignment)
    return memory.initializeMemory(as: OutputChunk.self, to: OutputChunk(capacity: capacity))
  }

  /// A chunk whose bytes, all of which are there, are kept by `owner`.
  static func allocate(sharing bytes: UnsafeRawBufferPointer, of owner: AnyObject) -> Pointer {
    let chunk = Pointer.allocate(capacity: 1)
    chunk.initialize(to: OutputChunk(capacity: bytes.count))
    chunk.pointee.owner = .passRetained(owner)
    chunk.pointee.shared = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
    return chunk
  }

  static func deallocate(_ chunk: Pointer) {
    chunk.pointee.owner?.release()
    UnsafeMutableRawPointer(chunk).deallocate()
  }

  static func bytes(of chunk: Pointer) -> UnsafeMutableRawPointer {
    chunk.pointee.shared ?? UnsafeMutableRawPointer(chunk) + headerByteCount
  }
}

/// Spare memory for the output of a loop's streams, so that idle ones hold none and busy ones allocate none.
///
/// Thread: the loop thread. Memory: at most `maximumSpareChunks` times 64 KiB lie idle.
package final class ChunkPool {
  /// The bytes of a chunk: 64 KiB with its header.
  package static let chunkByteCount = 65_536 - OutputChunk.headerByteCount
  /// How many chunks are kept when no one uses them.
  package static let maximumSpareChunks = 16

  // One thread alone, and nothing in here calls anybody: not checked for overlapping accesses.
  @exclusivity(unchecked) private var firstSpare: OutputChunk.Pointer?
  /// How many chunks lie spare.
  @exclusivity(unchecked) package private(set) var spareCount = 0
  /// How many chunks are in queues, those for single large frames included.
  @exclusivity(unchecked) package private(set) var chunksInUse = 0
  /// How many bytes have been given back to the allocator, ever, by this pool.
  package private(set) var freedBytes = 0

  /// Makes an empty pool.
  package init() {}

  deinit {
    dropSpare()
  }

  /// Gives the chunks that lie spare back to the allocator.
  package func dropSpare() {
    while let spare = firstSpare {
      firstSpare = spare.pointee.next
      OutputChunk.deallocate(spare)
    }
    spareCount = 0
  }

  /// An empty chunk with room for at least this many bytes.
  func take(atLeast byteCount: Int) -> OutputChunk.Pointer {
    chunksInUse += 1
    guard byteCount <= Self.chunkByteCount else { return OutputChunk.allocate(capacity: byteCount) }
    guard let spare = firstSpare else { return OutputChunk.allocate(capacity: Self.chunkByteCount) }
    firstSpare = spare.pointee.next
    spareCount -= 1
    spare.pointee.next = nil
    spare.pointee.firstUnsent = 0
    return spare
  }

  /// An empty chunk with room for exactly this many bytes.
  func take(exactly byteCount: Int) -> OutputChunk.Pointer {
    chunksInUse += 1
    return OutputChunk.allocate(capacity: byteCount)
  }

  /// A full chunk with bytes that `owner` keeps.
  func take(sharing bytes: UnsafeRawBufferPointer, of owner: AnyObject) -> OutputChunk.Pointer {
    chunksInUse += 1
    return OutputChunk.allocate(sharing: bytes, of: owner)
  }

  /// Takes back a chunk; keeps it if it has the common size and few are spare.
  func put(_ chunk: OutputChunk.Pointer) {
    chunksInUse -= 1
    guard chunk.pointee.owner == nil else { return OutputChunk.deallocate(chunk) }
    guard chunk.pointee.capacity == Self.chunkByteCount, spareCount < Self.maximumSpareChunks else {
      freedBytes += chunk.pointee.capacity
      OutputChunk.deallocate(chunk)
      return
    }
    chunk.pointee.next = firstSpare
    firstSpare = chunk
    spareCount += 1
  }
}
