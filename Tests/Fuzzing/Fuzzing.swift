import CFuzzer
import Glibc
import HostcallFuzzing

/// libFuzzer over the parts that see bytes from outside: `hostcall-fuzz TARGET [libFuzzer's arguments]`.
///
/// `Scripts/fuzz` builds and runs it; without libFuzzer's runtime it cannot be linked.
@main
enum Fuzzing {
  static func main() {
    guard CommandLine.arguments.count > 1, let target = FuzzingTarget(rawValue: CommandLine.arguments[1]) else {
      usage()
    }
    var arguments = Array(CommandLine.arguments)
    arguments.remove(at: 1)
    var pointers = arguments.map { strdup($0) } + [nil]
    var count = Int32(arguments.count)
    let status = pointers.withUnsafeMutableBufferPointer { pointers in
      var start = pointers.baseAddress
      // A C function captures nothing, so each target has its own.
      return switch target {
      case .decoder: LLVMFuzzerRunDriver(&count, &start) { Fuzzing.play(.decoder, $0, $1) }
      case .bridge: LLVMFuzzerRunDriver(&count, &start) { Fuzzing.play(.bridge, $0, $1) }
      case .configuration: LLVMFuzzerRunDriver(&count, &start) { Fuzzing.play(.configuration, $0, $1) }
      }
    }
    exit(status)
  }

  /// Plays one input, and stops where something does not hold, as a trap would.
  private static func play(_ target: FuzzingTarget, _ bytes: UnsafePointer<UInt8>?, _ byteCount: Int) -> Int32 {
    do throws(FuzzingFailure) {
      try target.play(UnsafeRawBufferPointer(start: bytes, count: byteCount))
    } catch {
      fatalError(error.description)
    }
    return 0
  }

  private static func usage() -> Never {
    let targets = FuzzingTarget.allCases.map(\.rawValue).joined(separator: "|")
    let text = "usage: hostcall-fuzz \(targets) [arguments of libFuzzer]\n"
    _ = write(STDERR_FILENO, text, text.utf8.count)
    exit(64)
  }
}
