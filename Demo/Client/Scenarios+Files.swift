import Foundation
import HostcallClient

extension Scenario {
  /// Two workers hash every file; each sum has to be the one that `sha256sum` has found.
  @Sendable static func files(_ stage: Stage) async throws {
    let files = try await SummedFile.all(in: stage.folder)
    Report.step("sha256sum has read \(files.count) files in \(stage.folder)")
    let second = try await WorkerProcess.start(on: stage)
    defer { second.kill() }

    let largest = min(1 << 20, (await stage.client.serverInformation?.largestFrameBytes ?? 0) / 2)
    let began = ContinuousClock.now
    var progress = Progress(total: files.count)
    var tally = Tally()
    try await withThrowingTaskGroup(of: HashedFile.self) { group in
      var rest = files[...]
      for file in rest.prefix(32) { group.addTask { try await hash(file, stage, largestBytes: largest) } }
      rest = rest.dropFirst(32)
      while let hashed = try await group.next() {
        tally.add(hashed)
        progress.advance()
        if let file = rest.popFirst() { group.addTask { try await hash(file, stage, largestBytes: largest) } }
      }
    }
    progress.end()
    let took = ContinuousClock.now - began
    try expect("files hashed", tally.files, is: files.count)
    for line in tally.lines(took: took) { Report.step(line) }
    try expect("the exit status of the second worker", try await second.leave(), is: 0)
  }

  /// Has a worker hash a file: small ones travel in the call, of large ones the path.
  private static func hash(_ file: SummedFile, _ stage: Stage, largestBytes: Int) async throws -> HashedFile {
    let content = try file.content(upTo: largestBytes)
    let response =
      if let content {
        try await stage.client.call("sha256", content, timeout: .seconds(300), options: .idempotent)
      } else {
        try await stage.client.call("sha256-file", file.path, timeout: .seconds(3_000), options: .idempotent)
      }
    try expect("the sum of \(file.name), \(Report.callNumber(response.correlationID))", response.text, is: file.sum)
    return HashedFile(
      bytes: content?.count, worker: response.metadata["worker"] ?? "?", correlationID: response.correlationID ?? 0)
  }
}

/// What came back for one file.
private struct HashedFile: Sendable {
  /// Bytes that travelled in the call; nil where only the path did.
  let bytes: Int?
  let worker: String
  let correlationID: UInt64
}

/// What came back for all of them.
private struct Tally {
  var files = 0
  var bytes = 0
  var byPath = 0
  var byWorker: [String: Int] = [:]
  var correlationIDs: (first: UInt64, last: UInt64) = (.max, 0)

  mutating func add(_ file: HashedFile) {
    files += 1
    bytes += file.bytes ?? 0
    byPath += file.bytes == nil ? 1 : 0
    byWorker[file.worker, default: 0] += 1
    correlationIDs = (min(correlationIDs.first, file.correlationID), max(correlationIDs.last, file.correlationID))
  }

  func lines(took: Duration) -> [String] {
    let workers = byWorker.sorted { $0.key < $1.key }.map { "\($0.value) by worker \($0.key)" }
    return [
      "\(files) sums are the same: \(bytes) bytes in calls, \(byPath) large files by path, \(Report.time(took))",
      workers.joined(separator: ", ") + " (calls \(correlationIDs.first) to \(correlationIDs.last))",
    ]
  }
}
