import ArgumentParser
import HostcallLoop

/// The program.
@main
enum HostcalldMain {
  static func main() async {
    // At the very beginning: whatever runs tasks opens descriptors and starts threads of its own.
    StandardDescriptors.keepApart()
    FreedMemory.shareOneHeap()
    await HostcalldCommand.main()
  }
}
