import Foundation

/// A file and its sum as `sha256sum` has found it.
struct SummedFile: Sendable {
  /// 64 hexadecimal digits.
  let sum: String
  /// The whole path. File names are bytes; not all are UTF-8.
  let path: [UInt8]

  /// The path for people.
  var name: String { String(decoding: path, as: UTF8.self) }

  /// All files in a folder and those below, but not the build's scratch folders: `.build` and the like. Links are not
  /// followed.
  static func all(in folder: String) async throws -> [SummedFile] {
    let folder = URL(fileURLWithPath: folder).standardizedFileURL.path
    // xargs gives sha256sum as many files at once as fit; --zero keeps every name as it is.
    let script = #"find "$1" -name '.build*' -prune -o -type f -print0 | xargs -0 -r sha256sum --zero --"#
    let (output, status) = try await run("/bin/bash", ["-o", "pipefail", "-c", script, "bash", folder])
    guard status == 0 else { throw Mismatch("sha256sum", expected: "status 0", came: "\(status)") }
    return try output.split(separator: 0).map { line in
      // 64 digits, a space, a space or an asterisk, the path.
      guard line.count > 66 else {
        throw Mismatch("sha256sum", expected: "a sum and a name", came: String(decoding: line, as: UTF8.self))
      }
      return SummedFile(sum: String(decoding: line.prefix(64), as: UTF8.self), path: Array(line.dropFirst(66)))
    }
  }

  /// The whole file, or nil where it is larger.
  func content(upTo largestBytes: Int) throws -> [UInt8]? {
    let descriptor = open(path.map { CChar(bitPattern: $0) } + [0], O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    let content = try file.read(upToCount: largestBytes + 1) ?? Data()
    return content.count <= largestBytes ? [UInt8](content) : nil
  }

  /// The sum of one file, as `sha256sum` finds it.
  static func sum(of path: String) async throws -> String {
    let (output, status) = try await run("/usr/bin/env", ["sha256sum", "--", path])
    guard status == 0 else { throw Mismatch("sha256sum", expected: "status 0", came: "\(status)") }
    return String(decoding: output.prefix(64), as: UTF8.self)
  }

  /// Runs a program to its end, away from the threads that run tasks.
  private static func run(_ program: String, _ arguments: [String]) async throws -> (output: Data, status: Int32) {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(
          with: Result {
            let (process, output) = (Process(), Pipe())
            process.executableURL = URL(fileURLWithPath: program)
            process.arguments = arguments
            process.standardOutput = output
            try process.run()
            let data = try output.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return (data, process.terminationStatus)
          })
      }
    }
  }
}
