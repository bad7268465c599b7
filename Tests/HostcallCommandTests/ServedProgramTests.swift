import Glibc
import HostcallTestSupport
import Testing

@testable import hostcall

@Suite("The program of a served command")
struct ServedProgramTests {
  private let folder = TemporaryFolder()

  /// Makes a file in a folder of that name, which may be run or not, and gives the folder.
  private func place(_ name: String, in parent: String, mode: mode_t) -> String {
    let path = folder.file(parent)
    mkdir(path, 0o700)
    Files.write([], to: "\(path)/\(name)")
    chmod("\(path)/\(name)", mode)
    return path
  }

  @Test func theFirstOnThePathThatMayBeRunIsTaken() throws {
    let (first, second) = (place("tool", in: "a", mode: 0o600), place("tool", in: "b", mode: 0o700))
    mkdir(folder.file("c"), 0o700)
    mkdir(folder.file("c/tool"), 0o700)
    let program = try ServedProgram(["tool", "--fast"], searchPath: "\(folder.file("c")):\(first):\(second)")
    #expect(program.path == "\(second)/tool")
    #expect(program.words == ["tool", "--fast"])
  }

  @Test func aPathIsTakenAsItIs() throws {
    let path = place("tool", in: "a", mode: 0o700) + "/tool"
    #expect(try ServedProgram([path], searchPath: nil).path == path)
  }

  @Test func whatIsNotThereOrMayNotBeRunIsSaid() {
    let path = place("tool", in: "a", mode: 0o600)
    #expect(throws: CommandFailure("cannot find the command nothing in PATH", .usage)) {
      try ServedProgram(["nothing"], searchPath: path)
    }
    #expect(throws: CommandFailure("cannot run tool: permission denied", .usage)) {
      try ServedProgram(["tool"], searchPath: path)
    }
    #expect(throws: CommandFailure("cannot run ./nothing: no such file or directory", .usage)) {
      try ServedProgram(["./nothing"], searchPath: path)
    }
  }

  @Test func withoutAPathTheSystemsIsUsed() throws {
    #expect(try ServedProgram(["sh"], searchPath: nil).path.hasSuffix("/sh"))
  }
}
