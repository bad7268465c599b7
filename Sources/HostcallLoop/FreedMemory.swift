import CLibuv

/// Memory that was freed and that the C library keeps for later.
package enum FreedMemory {
  /// Gives it back to the system. It takes milliseconds where there is much of it.
  package static func giveBack() {
    _ = malloc_trim(0)
  }

  /// Has all threads of this process share one heap, so that all of it can be given back: the C library never shortens the
  /// heaps that it gives to threads of their own. For the beginning of a program, before it has other threads.
  package static func shareOneHeap() {
    _ = mallopt(M_ARENA_MAX, 1)
  }
}
