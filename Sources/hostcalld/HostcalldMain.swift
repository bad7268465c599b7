import ArgumentParser
import Glibc
import HostcallLoop

/// The program.
@main
enum HostcalldMain {
  static func main() {
    // At the very beginning: whatever runs tasks opens descriptors and starts threads of its own.
    StandardDescriptors.keepApart()
    hearAllSignals()
    FreedMemory.shareOneHeap()
    ThreadExecutor.main.run { await HostcalldCommand.main() }
  }

  /// Whoever has started this process may have blocked signals for a thread of its own, and a process inherits that: then
  /// no SIGTERM would ever come.
  private static func hearAllSignals() {
    var none = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, nil)
  }
}
