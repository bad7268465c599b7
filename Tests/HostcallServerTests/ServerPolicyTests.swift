import FoundationEssentials
import Glibc
import HostcallClient
import HostcallServer
import HostcallWire
import Testing

@Suite("Policy over a socket, by the kernel's word for who a peer is")
struct ServerPolicyTests {
  private func rule(_ name: String, _ may: Set<PolicyVerb>, _ what: [String], except: [String] = []) -> PolicyRule {
    PolicyRule(name, users: .these([getuid()]), may: may, what: what, except: except)
  }

  private func answer(_ client: HostcallClient, _ question: PermissionQuestion) async throws -> PermissionReport {
    let payload = [UInt8](try JSONEncoder().encode(question))
    let response = try await client.call("hostcall.can", payload, encoding: .json)
    return try JSONDecoder().decode(PermissionReport.self, from: Data(response.payload))
  }

  @Test func whatNoRuleAllowsIsDeniedAndThisProcessMayAll() async throws {
    let policy = try Policy(rules: [rule("mine", [.call], ["token.*", "hostcall.*"], except: ["token.admin.*"])])
    let test = try await TestServer { $0.policy = policy }
    let client = try await test.client()
    try await test.server.register("token.*") { _ in "token" }
    #expect(try await client.call("token.fetch").text == "token")
    let denied = try await failure { () async throws(HostcallError) in try await client.call("token.admin.x") }
    #expect(denied.status == .denied && denied.origin == .daemon)
    #expect(denied.message.hasPrefix("token.admin.x: policy does not let user \(getuid()) call it"))
    let refused = try await failure { () async throws(HostcallError) in try await client.register("a") { _ in "" } }
    #expect(refused.status == .denied)
    #expect(try await test.server.call("token.admin.x").text == "token")
    await client.close()
    await test.server.shutdown()
  }

  @Test func anotherPolicyHoldsForThoseWhoAreConnected() async throws {
    let test = try await TestServer()
    let client = try await test.client()
    try await client.register("mine") { _ in "done" }
    #expect(try await test.server.call("mine").text == "done")
    await test.server.setPolicy(try Policy(rules: [rule("callers", [.call], ["*"])]))
    let gone = try await failure { () async throws(HostcallError) in try await test.server.call("mine") }
    #expect(gone.status == .notFound)
    #expect(try await client.call("hostcall.echo", "x").text == "x")
    await test.server.setPolicy(Policy())
    #expect(try await test.server.call("mine").text == "done")
    await client.close()
    await test.server.shutdown()
  }

  @Test func canAnswersAndNamesTheRule() async throws {
    let rules = [
      rule("mine", [.call], ["*"]), PolicyRule("web", groups: [4_000_000_001], may: [.publish], what: ["a.*"]),
    ]
    let policy = try Policy(rules: rules)
    let test = try await TestServer { $0.policy = policy }
    let client = try await test.client()
    let allowed = try await answer(
      client, PermissionQuestion(userID: 4_000_000_000, groupIDs: [1, 4_000_000_001], verb: "publish", name: "a.b"))
    #expect(allowed == PermissionReport(allowed: true, rule: "web", reason: "the rule “web” allows a.*"))
    let denied = try await answer(
      client, PermissionQuestion(userID: 4_000_000_000, groupIDs: [], verb: "call", name: "a.b"))
    #expect(!denied.allowed && denied.rule == nil)
    let questions: [(String, Status)] = [
      ("{}", .serialization), ("[", .serialization),
      (#"{"userID": -1, "groupIDs": [], "verb": "call", "name": "a"}"#, .serialization),
      (#"{"userID": 1, "groupIDs": [], "verb": "read", "name": "a"}"#, .failed),
      (#"{"userID": 1, "groupIDs": [], "verb": "call", "name": "a.*"}"#, .failed),
      (#"{"userID": 1, "groupIDs": [], "verb": "register", "name": "a..b"}"#, .failed),
    ]
    for (question, status) in questions {
      let error = try await failure { () async throws(HostcallError) in try await client.call("hostcall.can", question)
      }
      #expect(error.status == status && error.message.contains("hostcall.can: "), "\(error)")
    }
    await client.close()
    await test.server.shutdown()
  }
}
