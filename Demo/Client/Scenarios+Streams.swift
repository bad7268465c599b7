import Foundation
import HostcallClient

extension Scenario {
  /// Numbers come from the worker, and go to it; a reader that stops stops the worker.
  @Sendable static func stream(_ stage: Stage) async throws {
    let count = 20_000
    let began = ContinuousClock.now
    let numbers = stage.client.stream("numbers", "\(count)")
    var next = 0
    for try await item in numbers {
      try expect("the next number", item.text, is: "\(next)")
      next += 1
    }
    let response = try await numbers.response
    try expect("the result", response.text, is: "\(count) numbers")
    Report.step(
      "numbers → \(next) items and \"\(response.text)\" (\(Report.callNumber(response.correlationID)), "
        + "\(Report.time(.now - began)))")

    try await slowReader(stage)

    let sum = try await stage.client.call("sum", arguments: Numbers(count: 5_000))
    Report.step("sum of 5000 argument items → \(sum.text) (\(Report.callNumber(sum.correlationID)))")
    try expect("the sum", sum.text, is: "\((0..<5_000).reduce(0, +))")
  }

  /// Takes ten numbers of an endless row, sees how far ahead the worker has got, and leaves.
  private static func slowReader(_ stage: Stage) async throws {
    let (taken, window) = (10, 16)
    let cancelsBefore = Int(try await stage.client.call("cancels").text) ?? -1
    let sentBefore = Int(try await stage.client.call("numbers-sent").text) ?? 0
    var sent = 0
    var left = taken
    for try await _ in stage.client.stream("numbers", "for ever", window: window) {
      left -= 1
      if left > 0 { continue }
      sent = (Int(try await stage.client.call("numbers-sent").text) ?? 0) - sentBefore
      break
    }
    Report.step("a reader that has taken \(taken) items of an endless stream: the worker has sent \(sent), then waits")
    try expect(
      sent <= taken + window, "items sent", expected: "\(taken + window) at most, a window of \(window) ahead",
      came: "\(sent)")
    // Leaving the loop has cancelled the call; its CANCEL is before the next call.
    try expect(
      "cancels that the worker saw", Int(try await stage.client.call("cancels").text) ?? -1, is: cancelsBefore + 1)
    Report.step("leaving the loop has cancelled the call in the worker")
  }

  /// Events of a worker come here and to a second connection; the daemon tells of a worker that is killed.
  @Sendable static func events(_ stage: Stage) async throws {
    let count = 500
    let other = try await HostcallClient.connect(
      .init(socketPath: stage.client.socketPath, clientName: "hostcall-demo-watcher"))
    let watchers = [
      try await stage.client.events("demo.door.*"), try await stage.client.events("demo.door.rang"),
      try await other.events("demo.*"),
    ]
    let rung = try await stage.call("ring", "\(count)", metadata: ["event": "demo.door.rang"])
    try expect("the number of subscribers", rung.text, is: "2")
    for (number, events) in watchers.enumerated() {
      var iterator = events.makeAsyncIterator()
      for expected in 0..<count {
        let event = try await iterator.next()
        try expect("event \(expected) of watcher \(number)", event?.text ?? "none", is: "\(expected)")
      }
    }
    Report.step("\(watchers.count) watchers on 2 connections have had \(count) events each, in order")
    await other.close()

    var gone = try await stage.client.events("hostcall.peer.disconnected").makeAsyncIterator()
    let worker = try await WorkerProcess.start(on: stage, prefix: "watched")
    await worker.killAndWait()
    while let event = try await gone.next() {
      guard event.text.contains("\"processID\":\(worker.processID),") else { continue }
      Report.step("\(event.name) \(event.text)")
      break
    }
  }

  /// A file without a name goes to the worker open.
  @Sendable static func descriptor(_ stage: Stage) async throws {
    var path = Array("/tmp/hostcall-demo-XXXXXX".utf8CString)
    let file = mkstemp(&path)
    guard file >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    defer { close(file) }
    let name = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 10) }
    guard write(file, content, content.count) == content.count else {
      unlink(name)
      throw POSIXError(.EIO)
    }
    let sum: String
    do {
      sum = try await SummedFile.sum(of: name)
    } catch {
      unlink(name)
      throw error
    }
    // From here on nobody can open it by any name, and the worker reads from its beginning.
    unlink(name)
    lseek(file, 0, SEEK_SET)
    _ = try await stage.failingCall("sha256-file", name, expecting: .failed, from: .worker)
    let response = try await stage.client.call("sha256-open", descriptors: [file])
    Report.step(
      "sha256-open of the open file → \(response.text.prefix(16))… (\(Report.callNumber(response.correlationID)))")
    try expect("the sum", response.text, is: sum)
  }
}

/// The numbers from 0, as text.
private struct Numbers: AsyncSequence, Sendable {
  let count: Int

  struct Iterator: AsyncIteratorProtocol {
    var rest: Range<Int>

    mutating func next() async -> String? { rest.popFirst().map { "\($0)" } }
  }

  func makeAsyncIterator() -> Iterator { Iterator(rest: 0..<count) }
}
