import HostcallTestSupport
import Testing

@testable import hostcall

@Suite("Lines as argument items", .timeLimit(.minutes(1)))
struct InputLinesTests {
  let folder = TemporaryFolder()

  private func lines(_ text: String, limitBytes: Int = 1_000_000) async throws -> [String] {
    Files.write(text.utf8, to: folder.file("lines"))
    var lines: [String] = []
    for try await line in try InputLines(.file(folder.file("lines")), limitBytes: limitBytes) {
      lines.append(String(decoding: line, as: UTF8.self))
    }
    return lines
  }

  @Test func eachLineIsOneWithoutItsEnd() async throws {
    #expect(try await lines("") == [])
    #expect(try await lines("one\n") == ["one"])
    #expect(try await lines("one\n\ntwo\r\nthree") == ["one", "", "two\r", "three"])
    #expect(try await lines("\n") == [""])
  }

  @Test func linesMayBeLongAndMany() async throws {
    let expected =
      (0..<3_000).map { String(repeating: "x", count: $0 % 200) + "\($0)" } + [
        String(repeating: "y", count: 300_000)
      ]
    #expect(try await lines(expected.joined(separator: "\n")) == expected)
  }

  @Test func aLineThatIsTooLongIsAnError() async throws {
    let error = try await #require(throws: CommandFailure.self) {
      try await lines(String(repeating: "x", count: 200_000), limitBytes: 1_000)
    }
    #expect(error.status == .refused)
    #expect(error.message?.hasSuffix("is longer than 1000 B, the most that the daemon takes") == true)
  }

  @Test func whatCannotBeReadIsAnError() async throws {
    #expect(throws: CommandFailure.self) { try InputLines(.file("/no/such"), limitBytes: 1) }
    let error = try await #require(throws: CommandFailure.self) {
      for try await _ in try InputLines(.file("/tmp"), limitBytes: 1) {}
    }
    #expect(error.status == .noInput)
  }
}
