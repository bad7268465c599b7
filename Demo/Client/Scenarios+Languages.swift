import HostcallClient

extension Scenario {
  private static let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

  /// Workers in several languages call each other, in a row that ends in this program.
  @Sendable static func languages(_ stage: Stage) async throws {
    let row = stage.languages
    guard let first = row.first else {
      throw Mismatch("the languages", expected: "workers that were named with --languages", came: "none")
    }
    let rest = row.dropFirst().joined(separator: " ")
    try await Gate.open("hop.swift", on: stage, answer: { try await SwiftHop.answer($0, stage.client) }) { gate in
      try await chain(first, "\(rest) swift end", row + ["swift"], stage)
      _ = try await gate.visitor()
      try await cancelAtTheTop(first, "\(rest) swift hold", gate, stage)
    }
    for place in row.indices { try await deadlineAtTheTop(Array(row[(place + 1)...] + row[...place]), stage) }
  }

  /// Each language answers with a line of its own and those of the ones below it.
  private static func chain(_ first: String, _ words: String, _ row: [String], _ stage: Stage) async throws {
    let reply = try await stage.client.call(
      "hop.\(first)", words, timeout: .seconds(20), options: .wait, metadata: ["traceparent": trace])
    let hops = reply.text.split(separator: "\n").map(HopLine.init)
    for hop in hops { Report.step("\(hop.language): call \(hop.call), \(hop.left) ms left") }
    try expect("the languages", hops.map(\.language), is: row)
    try expect("the number of correlation ids", Set(hops.map(\.call)).count, is: row.count)
    // Whole milliseconds: each hop rounds what it has left in its own way.
    var most = 20_000
    for hop in hops {
      try expect(
        hop.left <= most, "the time left in \(hop.language)", expected: "\(most) ms at most", came: "\(hop.left)")
      most = min(most, hop.left + 1)
    }
  }

  private static func cancelAtTheTop(
    _ first: String, _ words: String, _ gate: Gate, _ stage: Stage
  ) async throws {
    let call = Task { try await stage.client.call("hop.\(first)", words, metadata: ["traceparent": trace]) }
    let bottom = try await gate.visitor()
    try expect("the trace at the bottom", bottom.metadata["traceparent"] ?? "none", is: trace)
    var cancelled = try await stage.client.events(SwiftHop.cancelledEvent).makeAsyncIterator()
    call.cancel()
    let outcome = await call.result
    guard case .failure(let error as HostcallError) = outcome, error.status == .cancelled else {
      throw Mismatch("the call", expected: "CANCELLED", came: "\(outcome)")
    }
    let event = try await cancelled.next()
    try expect("the hop that was cancelled", event.map { HopLine($0.text[...]).language } ?? "none", is: "swift")
    Report.step("cancelled at the top, and \(bottom.correlationID) at the bottom has been told")
  }

  /// The last of these languages holds its call until it is told that there is no time left.
  private static func deadlineAtTheTop(_ row: [String], _ stage: Stage) async throws {
    var cancelled = try await stage.client.events(SwiftHop.cancelledEvent).makeAsyncIterator()
    let words = (row.dropFirst() + ["hold"]).joined(separator: " ")
    do {
      try await stage.client.call("hop.\(row[0])", words, timeout: .milliseconds(300))
      throw Mismatch("the call", expected: "TIMEOUT", came: "a result")
    } catch let error as HostcallError where error.status == .timeout {}
    let event = try await cancelled.next()
    let hop = HopLine((event?.text ?? "")[...])
    try expect("the hop that was told", hop.language, is: row[row.count - 1])
    Report.step("no time left at the top, and call \(hop.call) in \(hop.language) has been told")
  }
}

/// What each hop says of itself: `python call=17 left=19999`.
private struct HopLine {
  let language: String
  let call: String
  let left: Int

  init(_ line: Substring) {
    let words = line.split(whereSeparator: \.isWhitespace)
    func value(_ key: String) -> Substring {
      words.first { $0.hasPrefix("\(key)=") }?.dropFirst(key.count + 1) ?? ""
    }
    language = words.first.map(String.init) ?? ""
    call = String(value("call"))
    left = Int(value("left")) ?? -1
  }
}

/// This program's own hop, the last of the row.
private enum SwiftHop {
  /// What a hop publishes whose caller has given up while it held the call.
  static let cancelledEvent = "hop.cancelled"

  static func answer(_ request: HostcallRequest, _ client: HostcallClient) async throws -> String {
    let left = Int(request.timeLeft / .milliseconds(1))
    let line = "swift call=\(request.correlationID) left=\(left)\n"
    guard request.text == "hold" else { return line }
    await Latch().wait()
    // Its task is cancelled by now; what tells of it is not to be.
    return try await Task.detached {
      try await client.publish(cancelledEvent, line)
      return line
    }.value
  }
}
