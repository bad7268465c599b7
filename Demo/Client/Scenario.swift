import Foundation
import HostcallClient

/// Something that Hostcall promises, tried out.
struct Scenario: Sendable {
  let name: String
  let summary: String
  /// How long it may take before that counts as a failure; nil where the calls' own deadlines are enough.
  var limit: Duration? = .seconds(60)
  /// Throws what went otherwise than promised.
  let run: @Sendable (Stage) async throws -> Void

  static let all: [Scenario] = [
    Scenario(name: "echo", summary: "what is sent comes back as it was", run: echo),
    Scenario(name: "order", summary: "eight threads complete eight calls, the last one first", run: order),
    Scenario(name: "nested", summary: "the worker calls back into this program to answer", run: nested),
    Scenario(name: "failure", summary: "an error of the worker arrives whole", run: failure),
    Scenario(name: "deadline", summary: "a call that takes too long ends by itself, in the worker too", run: deadline),
    Scenario(name: "cancel", summary: "a cancelled call ends here and in the worker", run: cancel),
    Scenario(name: "late", summary: "a completion that comes too late, or twice, is refused", run: late),
    Scenario(name: "lost", summary: "a worker killed in mid-call costs its caller one clear error", run: lost),
    Scenario(name: "resent", summary: "an idempotent call outlives the worker that ran it", run: resent),
    Scenario(name: "overload", summary: "a full queue says so at once, and what is queued is answered", run: overload),
    Scenario(name: "stream", summary: "items both ways, no faster than they are taken", run: stream),
    Scenario(name: "events", summary: "an event reaches everybody who watches, once and in order", run: events),
    Scenario(name: "descriptor", summary: "the worker hashes a file that it could not open", run: descriptor),
    Scenario(
      name: "languages", summary: "workers in other languages call each other, and this program", run: languages),
    Scenario(
      name: "files", summary: "every file of a folder hashed, and the sums are those of sha256sum", limit: nil,
      run: files),
  ]

  /// Runs it, and throws too when it takes longer than it may.
  func runWithinLimit(on stage: Stage) async throws {
    guard let limit else { return try await run(stage) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await run(stage) }
      group.addTask {
        try await Task.sleep(for: limit)
        throw Mismatch("the scenario", expected: "to end within \(limit)", came: "no end")
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }
}

/// Something came that was not expected.
struct Mismatch: Error, CustomStringConvertible {
  let description: String

  init(_ what: String, expected: String, came: String) {
    description = "\(what): expected \(expected), came \(came)"
  }
}

/// Throws unless both are the same.
func expect<Value: Equatable>(_ what: String, _ came: Value, is expected: Value) throws(Mismatch) {
  guard came == expected else {
    throw Mismatch(what, expected: Report.short(expected), came: Report.short(came))
  }
}

/// Throws with these words unless it is true.
func expect(_ isTrue: Bool, _ what: String, expected: String, came: String) throws(Mismatch) {
  guard isTrue else { throw Mismatch(what, expected: expected, came: came) }
}
