package import HostcallWire

/// Numbers that only grow.
struct Statistics {
  var callsAccepted: UInt64 = 0
  var callsRefused: UInt64 = 0
  /// By the byte of the status.
  var outcomes = [UInt64](repeating: 0, count: 256)
  var callsSentAgain: UInt64 = 0
  var completionsRejected: UInt64 = 0
  var protocolErrors: UInt64 = 0
  /// Requests that policy refused.
  var policyDenials: UInt64 = 0
  var peersConnected: UInt64 = 0
  var eventsPublished: UInt64 = 0
  /// For a subscriber that did not read; counted for each.
  var eventsDropped: UInt64 = 0
}

/// What the built-in functions answer (protocol section 7).
extension Bridge {
  /// `hostcall.info`.
  package func infoReport(version: String, processID: Int32, now: UInt64) -> InfoReport {
    let limits = Limits.keys.map { ($0.name, UInt64(self.limits[keyPath: $0.keyPath])) }
    return InfoReport(
      server: identity.server, version: version, instance: identity.instance, processID: processID,
      uptimeSeconds: Self.seconds(from: startedNanoseconds, to: now), protocolVersion: ProtocolConstants.version,
      limits: Dictionary(uniqueKeysWithValues: limits))
  }

  /// `hostcall.functions`, in order of name.
  package func functionReports() -> [FunctionReport] {
    let known = functions.all.filter {
      !functions[$0].registrations.isEmpty || functions[$0].queue.count > 0 || functions[$0].running > 0
    }
    return known.map { slot in
      let concurrency = functions[slot].registrations.reduce(0) { $0 + Int(registrations[$1].concurrency) }
      return FunctionReport(
        name: functions.text(slot), workers: functions[slot].registrations.count, concurrency: concurrency,
        running: functions[slot].running, queued: Int(functions[slot].queue.count), calls: functions[slot].calls,
        failures: functions[slot].failures, latency: functions[slot].latency.report)
    }.sorted { $0.name < $1.name }
  }

  /// `hostcall.peers`, in order of session.
  package func peerReports(now: UInt64) -> [PeerReport] {
    peers.all.map { slot in
      PeerReport(
        session: peers[slot].session, client: peers[slot].client, userID: peers[slot].identity.userID,
        groupID: peers[slot].identity.groupID, processID: peers[slot].identity.processID,
        connectedSeconds: Self.seconds(from: peers[slot].connectedNanoseconds, to: now),
        functions: peers[slot].registrations.count, subscriptions: peers[slot].subscriptions.count,
        callsInFlight: Int(peers[slot].calls.count), running: Int(peers[slot].work.count),
        abandoned: abandonedCalls(of: slot), silentSeconds: Self.seconds(from: peers[slot].heardNanoseconds, to: now),
        state: "\(peers[slot].state)")
    }.sorted { $0.session < $1.session }
  }

  private func abandonedCalls(of slot: Slot) -> Int {
    var count = 0
    var call = peers[slot].work.first
    while let current = call {
      if current.pointee.state == .abandoned { count += 1 }
      call = current.pointee.placeLink.next
    }
    return count
  }

  /// `hostcall.calls`, the oldest first.
  package func callReports(now: UInt64) -> [CallReport] {
    let active = calls.slots.map { calls[$0].pointee }.filter { $0.state != .free }
    return active.sorted { $0.arrival < $1.arrival }.map { call in
      CallReport(
        correlationID: call.id.rawValue, function: functions.text(call.called), state: "\(call.state)",
        caller: peers.has(call.caller) ? peers[call.caller.slot].session : nil,
        worker: peers.has(call.worker) ? peers[call.worker.slot].session : nil,
        ageMilliseconds: (now - call.acceptedNanoseconds) / 1_000_000,
        leftMilliseconds: call.state == .abandoned
          ? nil : UInt64(max(0, Int64(call.deadlineMilliseconds) - Int64(now / 1_000_000))),
        attempts: Int(call.attempts))
    }
  }

  /// Connections of other processes.
  package var connections: Int { peers.count - localPeers }

  /// Calls that have been accepted and have no outcome yet.
  package var callsInFlight: Int { outstanding }

  /// `hostcall.stats`.
  package func statsReport() -> StatsReport {
    var report = StatsReport()
    report.callsAccepted = statistics.callsAccepted
    report.callsRefused = statistics.callsRefused
    for (value, count) in statistics.outcomes.enumerated() where count > 0 {
      report.outcomes[Status(rawValue: UInt8(value)).description] = count
    }
    report.callsInFlight = outstanding
    report.callsQueued = functions.withQueue.reduce(0) { $0 + Int(functions[$1].queue.count) }
    report.callsSentAgain = statistics.callsSentAgain
    report.completionsRejected = statistics.completionsRejected
    report.protocolErrors = statistics.protocolErrors
    report.policyDenials = statistics.policyDenials
    report.peersConnected = statistics.peersConnected
    report.eventsPublished = statistics.eventsPublished
    report.eventsDropped = statistics.eventsDropped
    report.streams = streams.count
    report.peers = peers.count
    report.functions = functions.count
    report.storedPayloadBytes = calls.storedBytes
    return report
  }

  /// What is held for somebody, by what it is. When all peers are gone it is empty, or something was forgotten.
  package var remains: [String: Int] {
    let held = [
      "peers": peers.count, "calls": calls.active, "callers' requests": requests.count, "deadlines": deadlines.count,
      "registrations": registrations.count, "functions": functions.count, "queues": functions.withQueue.count,
      "stored bytes": calls.storedBytes, "outstanding calls": outstanding, "orphans": orphans.count,
      "streams": streams.count, "policy forms in use": policies.references,
    ]
    let charged = Dictionary(uniqueKeysWithValues: users.charges.map { ($0.what, $0.amount) })
    return held.merging(charged) { $1 }.filter { $0.value != 0 }
  }

  private static func seconds(from start: UInt64, to now: UInt64) -> Double {
    Double(now - min(now, start)) / 1_000_000_000
  }
}
