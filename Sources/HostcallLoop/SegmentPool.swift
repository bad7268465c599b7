/// Memory for what is too large for the buffers of a loop, in segments of one size, and spare ones for the next who asks:
/// fresh memory of the system costs more than what is read into it.
///
/// Thread: any. Memory: at most `maximumSpareSegments` lie idle, 8 MiB, and those that nobody has needed for a while go
/// back by `dropUnneeded()`.
///
/// Unsafe pointers' rule: a segment belongs to the pool while its address is among the spare ones, and else to whoever
/// has taken it.
package final class SegmentPool: Sendable {
  /// Bytes of a segment: 128 KiB.
  package static let byteCount = 131_072
  /// How many segments are kept when no one uses them.
  package static let maximumSpareSegments = 64

  private struct State {
    /// Addresses, for pointers cannot pass a lock.
    var spare: [UInt] = []
    var inUse = 0
    /// How few lay spare at once since the last look.
    var fewestSpare = 0
  }

  private let state = HeapLock(State())

  /// Makes an empty pool.
  package init() {}

  deinit {
    Self.free(state.withLock { $0.spare })
  }

  /// How many segments lie spare.
  package var spareCount: Int { state.withLock { $0.spare.count } }
  /// How many segments are somebody's.
  package var segmentsInUse: Int { state.withLock { $0.inUse } }

  /// A segment, which is not cleared.
  package func take() -> UnsafeMutableRawPointer {
    let address = state.withLock { state -> UInt? in
      state.inUse += 1
      let address = state.spare.popLast()
      state.fewestSpare = min(state.fewestSpare, state.spare.count)
      return address
    }
    return address.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
      ?? .allocate(byteCount: Self.byteCount, alignment: 4_096)
  }

  /// Takes back a segment; keeps it if few are spare.
  package func put(_ segment: UnsafeMutableRawPointer) {
    let isKept = state.withLock { state in
      state.inUse -= 1
      guard state.spare.count < Self.maximumSpareSegments else { return false }
      state.spare.append(UInt(bitPattern: segment))
      return true
    }
    if !isKept { segment.deallocate() }
  }

  /// Gives back to the allocator as many segments as have lain spare all the time since it was called last.
  ///
  /// Returns how many still do.
  package func dropUnneeded() -> Int {
    let (dropped, left) = state.withLock { state -> ([UInt], Int) in
      let dropped = Array(state.spare.prefix(state.fewestSpare))
      state.spare.removeFirst(dropped.count)
      state.fewestSpare = state.spare.count
      return (dropped, state.spare.count)
    }
    Self.free(dropped)
    return left
  }

  private static func free(_ addresses: [UInt]) {
    for address in addresses { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
  }
}
