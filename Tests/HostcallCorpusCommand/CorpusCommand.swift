import Glibc
import HostcallFuzzing
import HostcallTestSupport

/// The inputs that are kept for libFuzzer, played once each and without it: `hostcall-corpus TARGET FILE…`.
///
/// For valgrind, which cannot run libFuzzer's program nor that of the tests.
@main
enum CorpusCommand {
  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst()
    guard let target = arguments.first.flatMap(FuzzingTarget.init(rawValue:)), arguments.count > 1 else { usage() }
    for path in arguments.dropFirst() {
      let bytes = Files.read(path)
      // Of the very size, so that reading past the end is seen.
      let input = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
      defer { input.deallocate() }
      input.copyBytes(from: bytes)
      try target.play(UnsafeRawBufferPointer(input))
    }
    print("\(target): \(arguments.count - 1) inputs played")
  }

  private static func usage() -> Never {
    let targets = FuzzingTarget.allCases.map(\.rawValue).joined(separator: "|")
    let text = "usage: hostcall-corpus \(targets) FILE…\n"
    _ = write(STDERR_FILENO, text, text.utf8.count)
    exit(64)
  }
}
