import ArgumentParser
import HostcallLoop

/// The program.
@main
enum HostcalldMain {
  static func main() async {
    // At the very beginning: whatever runs tasks opens descriptors of its own.
    StandardDescriptors.keepApart()
    await HostcalldCommand.main()
  }
}
