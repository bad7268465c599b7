import Foundation

/// What the client was started with.
struct ClientArguments {
  static let usage = """
    usage: hostcall-demo-client [--socket PATH] [--worker PATH] [--languages LIST] [--only NAME]... [--list] [FOLDER]

      FOLDER            the folder whose files are hashed; else the current one
      --socket PATH     the daemon's socket; else HOSTCALL_SOCKET and the usual places
      --worker PATH     the program hostcall-demo-worker; else the one beside this program
      --languages LIST  of the workers that call each other, such as python,go,c,cpp
      --only NAME       run this scenario alone; may be given several times
      --list            list the scenarios and leave

    """

  var socketPath: String?
  var workerProgram = ""
  var folder = "."
  var languages: [String] = []
  var scenarios: [Scenario] = []

  /// Reads the command line; what it cannot read ends the process with status 64.
  static func parse() -> ClientArguments {
    var parsed = ClientArguments()
    var folders: [String] = []
    var rest = CommandLine.arguments.dropFirst()
    while let argument = rest.popFirst() {
      switch argument {
      case "--socket": parsed.socketPath = value(of: argument, &rest)
      case "--worker": parsed.workerProgram = value(of: argument, &rest)
      case "--languages":
        parsed.languages = value(of: argument, &rest).split(separator: ",").map(String.init)
      case "--only": parsed.scenarios.append(scenario(named: value(of: argument, &rest)))
      case "--list":
        for scenario in Scenario.all { Report.line("\(scenario.name): \(scenario.summary)") }
        exit(0)
      case "--help", "-h":
        FileHandle.standardOutput.write(Data(usage.utf8))
        exit(0)
      case "--":
        folders += rest
        rest = []
      case _ where argument.hasPrefix("-"): refuse("unknown option \(argument)")
      default: folders.append(argument)
      }
    }
    guard folders.count <= 1 else { refuse("one folder at most, not \(folders.count)") }
    parsed.folder = folders.first ?? "."
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: parsed.folder, isDirectory: &isFolder), isFolder.boolValue else {
      refuse("\(parsed.folder) is not a folder")
    }
    if parsed.workerProgram.isEmpty { parsed.workerProgram = besideThisProgram("hostcall-demo-worker") }
    guard FileManager.default.isExecutableFile(atPath: parsed.workerProgram) else {
      refuse("no program at \(parsed.workerProgram) (say where hostcall-demo-worker is with --worker)")
    }
    if parsed.scenarios.isEmpty {
      parsed.scenarios = Scenario.all.filter { $0.name != "languages" || !parsed.languages.isEmpty }
    }
    return parsed
  }

  private static func value(of option: String, _ rest: inout ArraySlice<String>) -> String {
    guard let value = rest.popFirst(), !value.isEmpty else { refuse("\(option) needs a value") }
    return value
  }

  private static func scenario(named name: String) -> Scenario {
    guard let scenario = Scenario.all.first(where: { $0.name == name }) else {
      refuse("no scenario \(name) (--list names them)")
    }
    return scenario
  }

  private static func besideThisProgram(_ name: String) -> String {
    let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    return program.deletingLastPathComponent().appendingPathComponent(name).path
  }

  private static func refuse(_ reason: String) -> Never {
    FileHandle.standardError.write(Data("hostcall-demo-client: \(reason)\n\(usage)".utf8))
    exit(64)
  }
}
