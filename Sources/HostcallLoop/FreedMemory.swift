import CLibuv

/// Memory that was freed and that the C library keeps for later.
package enum FreedMemory {
  /// Gives it back to the system. It takes milliseconds where there is much of it.
  package static func giveBack() {
    _ = malloc_trim(0)
  }
}
