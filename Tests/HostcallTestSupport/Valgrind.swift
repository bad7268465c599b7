import Glibc

/// Runs `hostcalld` under valgrind where `HOSTCALL_VALGRIND` asks for it, see `Scripts/sanitize`.
package enum Valgrind {
  /// The exit status where it has found something; no program of this package ends with it.
  static let foundStatus: Int32 = 9

  /// Whether daemons run under it.
  package static var isWanted: Bool { getenv("HOSTCALL_VALGRIND") != nil }

  private static func runs(_ program: String) -> Bool {
    program.split(separator: "/").last == "hostcalld" && isWanted
  }

  /// What stands in front of a program, if anything.
  ///
  /// Memory that is lost is looked for unless there is a configuration: the TOML parser loses some.
  static func command(for program: String, _ arguments: [String]) -> [String] {
    guard runs(program) else { return [] }
    let leaks =
      arguments.contains("--config")
      ? ["--leak-check=no"]
      : ["--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]
    return ["valgrind", "--quiet", "--error-exitcode=\(foundStatus)"] + leaks
  }
}
