import HostcallClient

extension Scenario {
  /// A payload of a megabyte with every byte value, and one with text, encoding and metadata.
  @Sendable static func echo(_ stage: Stage) async throws {
    let bytes = (0..<1_048_576).map { UInt8(truncatingIfNeeded: $0) }
    let large = try await stage.call("echo", bytes)
    try expect(large.payload == bytes, "the bytes", expected: "those that were sent", came: "others")

    let metadata: Metadata = ["trace": "demo-1", "note": "grüße"]
    let text = try await stage.call("echo", #"{"hello":"wörld"}"#, encoding: .json, metadata: metadata)
    try expect("the text", text.text, is: #"{"hello":"wörld"}"#)
    try expect("the encoding", text.encoding, is: .json)
    try expect("the metadata", text.metadata.entries.map(\.value), is: ["demo-1", "grüße"])
  }

  /// The worker's function collects eight calls and answers each from a thread of its own, in reverse.
  @Sendable static func order(_ stage: Stage) async throws {
    let count = 8
    let replies = try await withThrowingTaskGroup(of: HostcallResponse.self) { group in
      for number in 1...count {
        group.addTask {
          let reply = try await stage.client.call(
            "gather", "call \(number)", timeout: .seconds(30), metadata: ["together": "\(count)"])
          try expect("the answer to call \(number)", reply.text, is: "call \(number)")
          return reply
        }
      }
      var replies: [HostcallResponse] = []
      for try await reply in group { replies.append(reply) }
      return replies
    }
    var threads: Set<String> = []
    let arrived = replies.sorted { number("arrived", $0) < number("arrived", $1) }
    for reply in arrived {
      let (arrived, completed) = (number("arrived", reply), number("completed", reply))
      let thread = reply.metadata["thread"] ?? "?"
      Report.step(
        "gather \"\(reply.text)\": arrived \(arrived), completed \(completed), by thread \(thread) "
          + "(\(Report.callNumber(reply.correlationID)))")
      try expect("the place of \(reply.text)", completed, is: count + 1 - arrived)
      threads.insert(thread)
    }
    try expect("the number of threads", threads.count, is: count)
    try expect("the number of correlation ids", Set(replies.map(\.correlationID)).count, is: count)
  }

  private static func number(_ key: String, _ reply: HostcallResponse) -> Int {
    reply.metadata[key].flatMap { Int($0) } ?? 0
  }

  /// `use-token` answers by calling `token.fetch`, which this program answers while it waits for `use-token`.
  @Sendable static func nested(_ stage: Stage) async throws {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    try await Gate.open("token.fetch", on: stage, answer: { "TOK-\($0.text)" }) { inner in
      let latest = ContinuousClock.now + .seconds(5)
      let outer = try await stage.call(
        "use-token", "session", timeout: .seconds(5), metadata: ["traceparent": trace])
      try expect("the answer", outer.text, is: "token[TOK-session]")

      let request = try await inner.visitor()
      Report.step("token.fetch was call \(request.correlationID), inside \(Report.callNumber(outer.correlationID))")
      try expect(
        request.deadline < latest + .seconds(1), "the time that the inner call had",
        expected: "what was left of the outer call's 5 s", came: "\(Report.time(request.deadline - latest)) more")
      try expect("the inner call's trace", request.metadata["traceparent"] ?? "none", is: trace)
    }
  }

  /// Status, bytes, encoding and metadata of an error are the worker's own.
  @Sendable static func failure(_ stage: Stage) async throws {
    let details: [UInt8] = [0xa1, 0x64, 0x63, 0x6f, 0x64, 0x65, 0x18, 0x2a]
    let error = try await stage.failingCall(
      "fail", details, encoding: .cbor, expecting: Status(rawValue: 200), from: .worker,
      metadata: ["retry-after": "60"])
    try expect("the error's bytes", error.payload, is: details)
    try expect("the error's encoding", error.encoding, is: .cbor)
    try expect("the error's metadata", error.metadata.entries.map(\.value), is: ["60"])

    let text = try await stage.failingCall(
      "fail", "the quota of alice is used up", expecting: Status(rawValue: 200), from: .worker)
    try expect("the error's message", text.message, is: "the quota of alice is used up")
    _ = try await stage.failingCall("nobody.has-this", expecting: .notFound, from: .daemon)
  }
}
