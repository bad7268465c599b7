/// Frames on their way out of a stream.
///
/// A frame never straddles chunks, and a chunk is kept until its last byte has left, so a frame that has not wholly
/// left is always whole in memory. Larger frames than a chunk's get one of their own. An empty queue holds no chunk.
///
/// Only the last part of a frame may lie elsewhere, in memory that somebody else keeps and that is not copied: whoever
/// keeps it is held until the frame's last byte has left.
///
/// Thread: the loop thread, except for its release, which may happen anywhere.
///
/// Unsafe pointers' rule: `head` to the last chunk is a list that this queue alone owns; `fillPosition` and `room`
/// are the unused rest of the last chunk, and nil and 0 when there is none.
public struct OutputQueue: ~Copyable {
  private let pool: ChunkPool
  private var head: OutputChunk.Pointer?
  private var last: OutputChunk.Pointer?
  @usableFromInline var fillPosition: UnsafeMutableRawPointer?
  @usableFromInline var room = 0
  /// How many bytes have left, ever.
  package private(set) var sentBytes: UInt64 = 0
  /// How many bytes have been appended, ever: the end position of the frame appended last.
  @usableFromInline package var appendedBytes: UInt64 = 0
  private var queuedDescriptors = QueuedDescriptors()

  /// Makes an empty queue with chunks from `pool`.
  package init(pool: ChunkPool) {
    self.pool = pool
  }

  deinit {
    // Straight to the allocator: the pool belongs to the loop thread, and this may be another.
    var next = head
    while let chunk = next {
      next = chunk.pointee.next
      OutputChunk.deallocate(chunk)
    }
  }

  /// How many bytes have been appended and have not left.
  package var queuedBytes: Int { Int(truncatingIfNeeded: appendedBytes &- sentBytes) }

  /// Appends a frame of exactly `byteCount` bytes, more than 0, that `fill` writes whole.
  ///
  /// The memory that `fill` gets is not cleared. `fill` does not touch this queue or its stream.
  @inlinable @inline(__always)
  public mutating func appendFrame(byteCount: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
    if byteCount > room || byteCount <= 0 { beginChunk(forFrameOf: byteCount) }
    let position = fillPosition.unsafelyUnwrapped
    // The queue is whole again before foreign code runs: `SocketStream.output` is not checked for overlapping accesses.
    fillPosition = position + byteCount
    room &-= byteCount
    appendedBytes &+= UInt64(truncatingIfNeeded: byteCount)
    fill(UnsafeMutableRawBufferPointer(start: position, count: byteCount))
  }

  /// Appends a frame with which descriptors leave, at least one: exactly with its first byte.
  ///
  /// They are held until the frame has wholly left, or the stream is closed, and closed then if no one else holds them.
  package mutating func appendFrame(
    byteCount: Int, descriptors: PassedDescriptors, _ fill: (UnsafeMutableRawBufferPointer) -> Void
  ) {
    precondition(descriptors.count > 0, "a frame with descriptors has at least one")
    let start = appendedBytes
    queuedDescriptors.append(descriptors, start: start, end: start + UInt64(byteCount))
    appendFrame(byteCount: byteCount, fill)
  }

  /// Appends a frame whose last part is not copied: `byteCount` bytes, more than 0, that `fill` writes whole, then those
  /// of `runs`, at least one and none of them empty.
  ///
  /// `owner` keeps the bytes of `runs` where they are, unchanged; it is held until the last of them has left, or the
  /// stream is closed. Descriptors, if there are any, leave with the first byte.
  package mutating func appendFrame(
    byteCount: Int, descriptors: PassedDescriptors? = nil, sharing runs: [UnsafeRawBufferPointer], of owner: AnyObject,
    _ fill: (UnsafeMutableRawBufferPointer) -> Void
  ) {
    precondition(!runs.isEmpty && !runs.contains { $0.isEmpty }, "a frame shares at least one byte")
    if let descriptors {
      let end = appendedBytes + UInt64(runs.reduce(byteCount) { $0 + $1.count })
      queuedDescriptors.append(descriptors, start: appendedBytes, end: end)
    }
    // A chunk of the common size would hold these few bytes alone, for nothing can be appended to it any more.
    if byteCount > room { link(pool.take(exactly: byteCount)) }
    appendFrame(byteCount: byteCount, fill)
    for run in runs {
      link(pool.take(sharing: run, of: owner))
      room = 0
      appendedBytes &+= UInt64(run.count)
    }
  }

  /// Who keeps the last part of a frame that has not wholly left; nil if that part is not shared, or has left, or never
  /// was.
  ///
  /// `position` is what `appendedBytes` was right after the frame was appended. The cost grows with the number of
  /// chunks before the frame.
  package func owner(ofFrameEndingAt position: UInt64) -> AnyObject? {
    guard position > sentBytes, position <= appendedBytes else { return nil }
    var next = head
    while let chunk = next, chunk.pointee.startPosition < position {
      if position == chunk.pointee.startPosition + UInt64(end(of: chunk)) {
        return chunk.pointee.owner?.takeUnretainedValue()
      }
      next = chunk.pointee.next
    }
    return nil
  }

  /// The descriptors of a frame that has not wholly left, or nil if it has none, or has left, or never was.
  ///
  /// `position` is what `appendedBytes` was right after the frame was appended.
  package func descriptors(ofFrameEndingAt position: UInt64) -> PassedDescriptors? {
    queuedDescriptors.ending(at: position)
  }

  /// Gives `body` the bytes of a frame that has not wholly left, or returns nil if that frame has, or never was, or does
  /// not lie in one piece.
  ///
  /// `position` is what `appendedBytes` was right after the frame was appended. The cost grows with the number of
  /// chunks before the frame.
  package func withFrame<Result>(
    endingAt position: UInt64, byteCount: Int, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result? {
    guard position > sentBytes, position <= appendedBytes, byteCount > 0, byteCount <= position else { return nil }
    let start = position - UInt64(byteCount)
    var next = head
    while let chunk = next {
      let chunkStart = chunk.pointee.startPosition
      if start >= chunkStart, position <= chunkStart + UInt64(end(of: chunk)) {
        let bytes = OutputChunk.bytes(of: chunk) + Int(start - chunkStart)
        return body(UnsafeRawBufferPointer(start: bytes, count: byteCount))
      }
      next = chunk.pointee.next
    }
    return nil
  }

  /// What has not wholly left, for a queue in another process.
  package struct Rest {
    /// How many bytes had been appended before the first one of ``bytes``.
    package var start: UInt64 = 0
    package var sentBytes: UInt64 = 0
    /// From the beginning of a frame on, some of which may have left; of a large one that has left in part only the rest.
    package var bytes: [UInt8] = []
    /// Descriptors with where their frames begin and end.
    package var descriptors: [(start: UInt64, end: UInt64, descriptors: PassedDescriptors)] = []

    package init() {}
  }

  /// What has not wholly left.
  package var rest: Rest {
    var rest = Rest()
    rest.start = head?.pointee.startPosition ?? sentBytes
    rest.sentBytes = sentBytes
    var next = head
    while let chunk = next {
      rest.bytes.append(contentsOf: UnsafeRawBufferPointer(start: OutputChunk.bytes(of: chunk), count: end(of: chunk)))
      next = chunk.pointee.next
    }
    rest.descriptors = queuedDescriptors.all
    return rest
  }

  /// Goes on where another queue has stopped; before anything else. All bytes lie in one piece from then on.
  ///
  /// Gives false, and does nothing, where the rest is none.
  package mutating func resume(_ rest: Rest) -> Bool {
    precondition(head == nil && appendedBytes == 0, "a queue that was used goes on where another has stopped")
    guard rest.bytes.isEmpty ? rest.start == rest.sentBytes : rest.start <= rest.sentBytes,
      rest.bytes.isEmpty || rest.sentBytes - rest.start < rest.bytes.count,
      rest.descriptors.allSatisfy({
        $0.start < $0.end && $0.end > rest.sentBytes && $0.end <= rest.start + UInt64(rest.bytes.count)
      })
    else { return false }
    appendedBytes = rest.start
    if !rest.bytes.isEmpty {
      link(pool.take(exactly: rest.bytes.count))
      appendFrame(byteCount: rest.bytes.count) { $0.copyBytes(from: rest.bytes) }
      head?.pointee.firstUnsent = Int(rest.sentBytes - rest.start)
    }
    sentBytes = rest.sentBytes
    for entry in rest.descriptors { queuedDescriptors.append(entry.descriptors, start: entry.start, end: entry.end) }
    return true
  }

  /// Drops everything that has not left.
  ///
  /// `appendedBytes` goes back to `sentBytes`.
  ///
  /// A frame may be cut by this, so it is for a stream that is being given up.
  package mutating func removeAll() {
    while let chunk = head { removeHead(chunk) }
    appendedBytes = sentBytes
    queuedDescriptors = QueuedDescriptors()
  }

  /// Whether descriptors are held for a frame that has not wholly left.
  var hasDescriptors: Bool { !queuedDescriptors.isEmpty }

  /// The descriptors that leave with the very next byte, if it is the first of a frame with some.
  func descriptorsToSendNow() -> PassedDescriptors? {
    queuedDescriptors.beginning(at: sentBytes)
  }

  /// How many bytes may leave in one message: those before the next frame with descriptors, of which one that leaves now
  /// is not meant.
  func bytesBeforeNextDescriptors() -> Int {
    guard let start = queuedDescriptors.nextStart(after: sentBytes) else { return .max }
    return Int(start - sentBytes)
  }

  /// Shows up to `limit` pieces, and up to `byteLimit` bytes, of what leaves next, in order; returns how many pieces
  /// there were.
  func forEachPiece(
    limit: Int, byteLimit: Int = .max, _ body: (_ index: Int, _ bytes: UnsafeMutableRawBufferPointer) -> Void
  ) -> Int {
    var index = 0
    var bytesLeft = byteLimit
    var next = head
    while let chunk = next, index < limit, bytesLeft > 0 {
      let firstUnsent = chunk.pointee.firstUnsent
      let start = OutputChunk.bytes(of: chunk) + firstUnsent
      let count = min(end(of: chunk) - firstUnsent, bytesLeft)
      body(index, UnsafeMutableRawBufferPointer(start: start, count: count))
      bytesLeft -= count
      next = chunk.pointee.next
      index += 1
    }
    return index
  }

  /// Notes that the first `byteCount` bytes have left, and gives back the chunks that have left whole.
  mutating func didSend(byteCount: Int) {
    precondition(byteCount >= 0 && byteCount <= queuedBytes, "more bytes have left than were queued")
    sentBytes &+= UInt64(byteCount)
    if hasDescriptors { queuedDescriptors.didSend(upTo: sentBytes) }
    var remaining = byteCount
    while remaining > 0, let chunk = head {
      let unsent = end(of: chunk) - chunk.pointee.firstUnsent
      guard remaining >= unsent else {
        chunk.pointee.firstUnsent += remaining
        return
      }
      remaining -= unsent
      removeHead(chunk)
    }
  }

  /// Begins a chunk in which a frame of this size fits.
  @inline(never) @usableFromInline
  mutating func beginChunk(forFrameOf byteCount: Int) {
    precondition(byteCount > 0, "a frame has at least one byte")
    link(pool.take(atLeast: byteCount))
  }

  /// Makes a chunk the last one, to be filled from its start.
  private mutating func link(_ chunk: OutputChunk.Pointer) {
    chunk.pointee.startPosition = appendedBytes
    if let last {
      last.pointee.end = end(of: last)
      last.pointee.next = chunk
    } else {
      head = chunk
    }
    last = chunk
    fillPosition = OutputChunk.bytes(of: chunk)
    room = chunk.pointee.capacity
  }

  private func end(of chunk: OutputChunk.Pointer) -> Int {
    chunk == last ? chunk.pointee.capacity - room : chunk.pointee.end
  }

  private mutating func removeHead(_ chunk: OutputChunk.Pointer) {
    head = chunk.pointee.next
    if head == nil {
      last = nil
      fillPosition = nil
      room = 0
    }
    pool.put(chunk)
  }
}
