import CFuzzer
import Glibc

/// libFuzzer over the parts that see bytes from outside: `hostcall-fuzz decoder|bridge [libFuzzer's arguments]`.
///
/// `Scripts/fuzz` builds and runs it; without libFuzzer's runtime it cannot be linked.
@main
enum Fuzzing {
  static func main() {
    guard CommandLine.arguments.count > 1 else { usage() }
    var arguments = Array(CommandLine.arguments)
    let name = arguments.remove(at: 1)
    var pointers = arguments.map { strdup($0) } + [nil]
    var count = Int32(arguments.count)
    let status = pointers.withUnsafeMutableBufferPointer { pointers in
      var start = pointers.baseAddress
      return switch name {
      case "decoder":
        LLVMFuzzerRunDriver(&count, &start) { DecoderFuzzing.run(UnsafeRawBufferPointer(start: $0, count: $1)) }
      case "bridge":
        LLVMFuzzerRunDriver(&count, &start) { BridgeFuzzing.run(UnsafeRawBufferPointer(start: $0, count: $1)) }
      default: usage()
      }
    }
    exit(status)
  }

  private static func usage() -> Never {
    let text = "usage: hostcall-fuzz decoder|bridge [arguments of libFuzzer]\n"
    _ = write(STDERR_FILENO, text, text.utf8.count)
    exit(64)
  }
}
