package import HostcallTestSupport
import HostcallWire

/// What a soak has come to.
package struct SoakReport: Sendable, CustomStringConvertible {
  package let seed: UInt64
  package let counts: SoakCounts
  package let proxy: FaultProxy.Counts
  package let corruptingProxy: FaultProxy.Counts
  /// System calls of the daemon that have failed, by fault.
  package let faults: [String: Int]
  package let residentKilobytes: (start: Int, end: Int)
  /// The first things that should not have been; none where the ledger balances.
  package let violations: [String]
  package let violationCount: Int

  package var isBalanced: Bool { violationCount == 0 }

  package var description: String {
    var lines = ["soak: HOSTCALL_SEED=\(seed)"]
    func add(_ what: String, _ number: Int) { lines.append("  \(pad(number))  \(what)") }
    add("calls, in \(counts.rounds) rounds", counts.calls)
    for (status, number) in counts.outcomes.sorted(by: { $0.key < $1.key }) where status < 128 {
      add("ended with \(Status(rawValue: status))", number)
    }
    add("ended with a status of the worker's own", counts.outcomes.filter { $0.key >= 128 }.values.reduce(0, +))
    add("asked for no reply and got none", counts.withoutReply)
    add("whose caller's connection had ended", counts.abandonedByCaller)
    add("times given to a worker", counts.invocations)
    add("completions taken", counts.completionsAccepted)
    add("completions too late, and told so", counts.completionsLate)
    add("times given to a worker whose connection then ended", counts.invocationsLost)
    add("completions of what was another's", counts.strayCompletions)
    add("rejections in all", counts.rejections)
    add("items of streams", counts.items)
    add("open files given to workers", counts.files)
    add("events published", counts.eventsPublished)
    add("events received, \(counts.eventsDropped) told as dropped", counts.eventsReceived)
    add("connections, of which \(counts.peersKilled) killed", counts.connections)
    add("connections cut, and \(proxy.resets) reset, by the proxy", proxy.cuts)
    add("connections of corrupted peers, \(corruptingProxy.corruptions) bytes wrong", counts.wildConnections)
    add("programs with the client library, \(counts.programsKilled) killed", counts.programsStarted)
    add("restarts of hostcalld, which handed everything over", counts.restarts)
    add("system calls of hostcalld failed: \(faultText)", faults.values.reduce(0, +))
    lines.append("  hostcalld had \(residentKilobytes.start) KiB at the start and \(residentKilobytes.end) at the end")
    for violation in violations { lines.append("  WRONG: \(violation)") }
    lines.append(isBalanced ? "  the ledger balances" : "  the ledger does not balance: \(violationCount) wrong")
    return lines.joined(separator: "\n")
  }

  private var faultText: String {
    faults.filter { $0.value > 0 }.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }

  private func pad(_ number: Int) -> String {
    let text = "\(number)"
    return String(repeating: " ", count: max(0, 9 - text.count)) + text
  }
}
