import Foundation
import HostcallFuzzing
import HostcallTestSupport
import Testing

/// The inputs that are kept for `Scripts/fuzz`, played without it.
@Suite struct CorpusTests {
  private static let corpus = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fuzzing/Corpus")

  @Test(arguments: FuzzingTarget.allCases)
  func whatMustHoldHoldsForAllThatIsKept(_ target: FuzzingTarget) throws {
    let folder = Self.corpus.appending(path: target.rawValue).path
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    #expect(!names.isEmpty)
    for name in names.sorted() {
      #expect(throws: Never.self, "\(target)/\(name)") {
        try Files.read("\(folder)/\(name)").withUnsafeBytes { input in try target.play(input) }
      }
    }
  }
}
