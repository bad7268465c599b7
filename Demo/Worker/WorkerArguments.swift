import Foundation

/// What the worker was started with.
struct WorkerArguments {
  static let usage = """
    usage: hostcall-demo-worker [--socket PATH] [--prefix NAME] [--until-end-of-input]

      --socket PATH         the daemon's socket; else HOSTCALL_SOCKET and the usual places
      --prefix NAME         register NAME.echo instead of echo, and so on
      --until-end-of-input  leave when standard input ends

    """

  var socketPath: String?
  var prefix = ""
  var leavesWithStandardInput = false

  /// Reads the command line; what it cannot read ends the process with status 64.
  static func parse() -> WorkerArguments {
    var parsed = WorkerArguments()
    var rest = CommandLine.arguments.dropFirst()
    while let argument = rest.popFirst() {
      switch argument {
      case "--socket": parsed.socketPath = value(of: argument, &rest)
      case "--prefix": parsed.prefix = value(of: argument, &rest) + "."
      case "--until-end-of-input": parsed.leavesWithStandardInput = true
      case "--help", "-h":
        FileHandle.standardOutput.write(Data(usage.utf8))
        exit(0)
      default: refuse("unknown argument \(argument)")
      }
    }
    return parsed
  }

  private static func value(of option: String, _ rest: inout ArraySlice<String>) -> String {
    guard let value = rest.popFirst(), !value.isEmpty else { refuse("\(option) needs a value") }
    return value
  }

  private static func refuse(_ reason: String) -> Never {
    FileHandle.standardError.write(Data("hostcall-demo-worker: \(reason)\n\(usage)".utf8))
    exit(64)
  }
}
