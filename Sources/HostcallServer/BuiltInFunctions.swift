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

  /// The answer, as the bridge stands now.
  func reply(to invoke: DecodedFrame, bridge: borrowing Bridge, now: UInt64) -> HostcallReply {
    switch self {
    case .echo: HostcallReply(Array(invoke.payload), encoding: invoke.header.encoding)
    case .info: Self.json(bridge.infoReport(version: HostcallVersion.current, processID: getpid(), now: now))
    case .functions: Self.json(bridge.functionReports())
    case .peers: Self.json(bridge.peerReports(now: now))
    case .calls: Self.json(bridge.callReports(now: now))
    case .stats: Self.json(bridge.statsReport())
    }
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
