import FoundationEssentials
import Glibc
import HostcallBridge
import HostcallFunctions
import HostcallWire

/// The daemon's own host functions (protocol section 7). They are ordinary registrations of a peer in this process.
enum BuiltInFunction: String, CaseIterable {
  case echo = "hostcall.echo"
  case info = "hostcall.info"
  case functions = "hostcall.functions"
  case peers = "hostcall.peers"
  case calls = "hostcall.calls"
  case stats = "hostcall.stats"
  case can = "hostcall.can"

  /// The answer, as the bridge stands now.
  func reply(
    to invoke: DecodedFrame, bridge: borrowing Bridge, now: UInt64
  ) throws(HostcallFailure) -> HostcallReply {
    switch self {
    case .echo: HostcallReply(Array(invoke.payload), encoding: invoke.header.encoding)
    case .info: Self.json(bridge.infoReport(version: HostcallVersion.current, processID: getpid(), now: now))
    case .functions: Self.json(bridge.functionReports())
    case .peers: Self.json(bridge.peerReports(now: now))
    case .calls: Self.json(bridge.callReports(now: now))
    case .stats: Self.json(bridge.statsReport())
    case .can: Self.json(try Self.permission(invoke, bridge))
    }
  }

  private static func permission(
    _ invoke: DecodedFrame, _ bridge: borrowing Bridge
  ) throws(HostcallFailure) -> PermissionReport {
    let question: PermissionQuestion
    do {
      question = try JSONDecoder().decode(PermissionQuestion.self, from: Data(invoke.payload))
    } catch {
      throw HostcallFailure(
        status: .serialization,
        payload: "hostcall.can: the payload is not JSON with userID, groupIDs, verb and name: \(error)")
    }
    guard let verb = PolicyVerb(rawValue: question.verb) else {
      throw HostcallFailure(payload: "hostcall.can: verb is call, register, publish or subscribe")
    }
    let mayBePattern = verb == .register || verb == .subscribe
    guard NameRules.isName(question.name) || (mayBePattern && NameRules.isPattern(question.name)) else {
      let wanted = mayBePattern ? "name or pattern, such as token.fetch or token.*" : "name, such as token.fetch"
      throw HostcallFailure(payload: "hostcall.can: what is asked about is not a \(wanted)")
    }
    let answer = bridge.policyAnswer(verb, question.name, userID: question.userID, groupIDs: question.groupIDs)
    return PermissionReport(allowed: answer.isAllowed, rule: answer.rule, reason: answer.reason)
  }

  private static func json(_ report: some Encodable) -> HostcallReply {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return HostcallReply(Array(try encoder.encode(report)), encoding: .json)
    } catch {
      preconditionFailure("a report of the daemon's own cannot be encoded: \(error)")
    }
  }
}
