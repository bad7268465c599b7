import HostcallClient
import HostcallClientJSON
import Testing

@Suite(.timeLimit(.minutes(1))) struct JSONTests {
  struct Question: Codable, Sendable, Equatable { var user: String }
  struct Answer: Codable, Sendable, Equatable { var token: Int }

  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  @Test func valuesGoAndComeAsJSON() async throws {
    let (client, peer) = try await daemon.connect()
    async let answer = client.call("token.fetch", json: Question(user: "alice"), as: Answer.self, timeout: .seconds(60))
    let call = try await peer.expect(.call)
    #expect(call.header.encoding == .json)
    #expect(call.text == #"{"user":"alice"}"#)
    peer.answer(call, fromWorker: true, #"{"token":5}"#, encoding: .json)
    #expect(try await answer == Answer(token: 5))
    try await client.send("log", json: [1, 2])
    #expect(try await peer.expect(.call).text == "[1,2]")
  }

  @Test func aResultThatIsSomethingElseIsASerializationError() async throws {
    let (client, peer) = try await daemon.connect()
    async let error = failure { () async throws(HostcallError) in
      try await client.call("f", json: Question(user: "a"), as: Answer.self)
    }
    peer.answer(try await peer.expect(.call), call: 12, "no")
    let got = try await error
    #expect(got.status == .serialization)
    #expect(got.origin == .client)
    #expect(got.function == "f")
    #expect(got.correlationID == 12)
    #expect(got.payload == Array("no".utf8))
  }

  @Test func aValueThatCannotBeEncodedIsNotSent() async throws {
    let (client, peer) = try await daemon.connect()
    let error = try await failure { () async throws(HostcallError) in
      try await client.call("f", json: [Double.nan], as: Answer.self)
    }
    #expect(error.status == .serialization)
    try await peer.barrier()
  }

  @Test func aHandlerTakesAndGivesValues() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.register("f") { (question: Question, request) in
      Answer(token: question.user.count + Int(request.correlationID))
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(10, handle: 1, #"{"user":"bob"}"#)
    let complete = try await peer.expect(.complete)
    #expect(complete.text == #"{"token":13}"#)
    #expect(complete.header.encoding == .json)
    peer.invoke(11, handle: 1, "nonsense")
    let refused = try await peer.expect(.complete)
    #expect(refused.header.status == .serialization)
    #expect(refused.text.hasPrefix("f: the payload is not JSON of a Question"))
  }

  @Test func aResponseReadsAsJSON() throws {
    let response = HostcallResponse(payload: Array(#"{"token":1}"#.utf8), encoding: .json)
    #expect(try response.decode(Answer.self) == Answer(token: 1))
  }

  @Test func itemsAndEventsAreValuesToo() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.register("f") { request in
      try await request.results.send(json: Answer(token: 7))
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(10, handle: 1, credit: 1)
    let item = try await peer.expect(.item)
    #expect(item.text == #"{"token":7}"#)
    #expect(item.header.encoding == .json)
    try await peer.expect(.complete)
    let stream = try client.stream("g", json: Question(user: "bob"))
    let call = try await peer.expect(.call)
    #expect(call.text == #"{"user":"bob"}"#)
    peer.item(call.header.id, place: 0, encoding: .json, #"{"token":8}"#)
    peer.answer(call)
    var answers: [Answer] = []
    for try await item in stream { answers.append(try item.decode()) }
    #expect(answers == [Answer(token: 8)])
    async let count = client.publish("h", json: Answer(token: 9))
    let published = try await peer.expect(.publish)
    #expect(published.header.encoding == .json)
    peer.answer(published, aux: 2)
    #expect(try await count == 2)
    #expect(try HostcallEvent(name: "h", payload: published.payload).decode(Answer.self) == Answer(token: 9))
  }
}
