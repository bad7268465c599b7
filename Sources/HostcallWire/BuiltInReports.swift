/// What `hostcall.info` answers (protocol section 7).
package struct InfoReport: Codable, Sendable, Equatable {
  package var server: String
  package var version: String
  package var instance: String
  package var processID: Int32
  package var uptimeSeconds: Double
  package var protocolVersion: UInt32
  /// Every limit by its name in the configuration.
  package var limits: [String: UInt64]

  package init(
    server: String, version: String, instance: String, processID: Int32, uptimeSeconds: Double,
    protocolVersion: UInt32, limits: [String: UInt64]
  ) {
    self.server = server
    self.version = version
    self.instance = instance
    self.processID = processID
    self.uptimeSeconds = uptimeSeconds
    self.protocolVersion = protocolVersion
    self.limits = limits
  }
}

/// One host function in the answer of `hostcall.functions`: a name or pattern that somebody has registered, or that
/// calls are waiting for.
package struct FunctionReport: Codable, Sendable, Equatable {
  package var name: String
  package var workers: Int
  /// Calls that its workers would run at once, in all.
  package var concurrency: Int
  /// Places in use.
  package var running: Int
  package var queued: Int
  /// Calls dispatched since the name is known.
  package var calls: UInt64
  /// Calls of these that did not end with OK.
  package var failures: UInt64
  /// From INVOKE to COMPLETE.
  package var latency: LatencyReport

  package init(
    name: String, workers: Int, concurrency: Int, running: Int, queued: Int, calls: UInt64, failures: UInt64,
    latency: LatencyReport
  ) {
    self.name = name
    self.workers = workers
    self.concurrency = concurrency
    self.running = running
    self.queued = queued
    self.calls = calls
    self.failures = failures
    self.latency = latency
  }
}

/// How long a function took, in microseconds; percentiles are upper bounds that lie at most a quarter too high.
package struct LatencyReport: Codable, Sendable, Equatable {
  package var count: UInt64
  package var meanMicroseconds: Double
  package var p50Microseconds: Double
  package var p99Microseconds: Double
  package var maximumMicroseconds: Double

  package init(
    count: UInt64, meanMicroseconds: Double, p50Microseconds: Double, p99Microseconds: Double,
    maximumMicroseconds: Double
  ) {
    self.count = count
    self.meanMicroseconds = meanMicroseconds
    self.p50Microseconds = p50Microseconds
    self.p99Microseconds = p99Microseconds
    self.maximumMicroseconds = maximumMicroseconds
  }
}

/// One peer in the answer of `hostcall.peers`.
package struct PeerReport: Codable, Sendable, Equatable {
  package var session: UInt64
  package var client: String
  package var userID: UInt32
  package var groupID: UInt32
  package var processID: Int32
  package var connectedSeconds: Double
  /// Names that it has registered.
  package var functions: Int
  /// Names and patterns that it has subscribed to.
  package var subscriptions: Int
  /// Calls that it waits for.
  package var callsInFlight: Int
  /// Calls that it runs, those included that ended for their caller and that it has not completed yet.
  package var running: Int
  /// Those of them that have ended for their caller: a worker that does not answer a CANCEL is stuck.
  package var abandoned: Int
  /// Since something came from it or was read by it.
  package var silentSeconds: Double
  /// `awaitingHello`, `open`, `leaving` after its GOAWAY, or `closing` until what it was sent has left.
  package var state: String

  package init(
    session: UInt64, client: String, userID: UInt32, groupID: UInt32, processID: Int32, connectedSeconds: Double,
    functions: Int, subscriptions: Int, callsInFlight: Int, running: Int, abandoned: Int,
    silentSeconds: Double, state: String
  ) {
    self.session = session
    self.client = client
    self.userID = userID
    self.groupID = groupID
    self.processID = processID
    self.connectedSeconds = connectedSeconds
    self.functions = functions
    self.subscriptions = subscriptions
    self.callsInFlight = callsInFlight
    self.running = running
    self.abandoned = abandoned
    self.silentSeconds = silentSeconds
    self.state = state
  }
}

/// One call in the answer of `hostcall.calls`.
package struct CallReport: Codable, Sendable, Equatable {
  package var correlationID: UInt64
  package var function: String
  /// `queued`, `running`, or `abandoned`: ended for the caller, not yet completed by its worker.
  package var state: String
  /// Session of the caller, nil where it is gone.
  package var caller: UInt64?
  /// Session of the worker, nil where there is none yet.
  package var worker: UInt64?
  package var ageMilliseconds: UInt64
  /// Milliseconds until its deadline, nil where it has ended for the caller.
  package var leftMilliseconds: UInt64?
  /// How often it was sent to a worker.
  package var attempts: Int

  package init(
    correlationID: UInt64, function: String, state: String, caller: UInt64?, worker: UInt64?,
    ageMilliseconds: UInt64, leftMilliseconds: UInt64?, attempts: Int
  ) {
    self.correlationID = correlationID
    self.function = function
    self.state = state
    self.caller = caller
    self.worker = worker
    self.ageMilliseconds = ageMilliseconds
    self.leftMilliseconds = leftMilliseconds
    self.attempts = attempts
  }
}

/// What `hostcall.stats` answers: numbers that only grow since the daemon began, and a few of this moment.
package struct StatsReport: Codable, Sendable, Equatable {
  /// Accepted calls, by nothing else than that they got a correlation id.
  package var callsAccepted: UInt64 = 0
  package var callsRefused: UInt64 = 0
  /// Outcomes by the name of their status.
  package var outcomes: [String: UInt64] = [:]
  package var callsInFlight: Int = 0
  package var callsQueued: Int = 0
  /// Calls in flight that have items.
  package var streams: Int = 0
  package var callsSentAgain: UInt64 = 0
  package var completionsRejected: UInt64 = 0
  package var protocolErrors: UInt64 = 0
  /// Requests that policy refused, those without reply among them.
  package var policyDenials: UInt64 = 0
  package var peersConnected: UInt64 = 0
  package var eventsPublished: UInt64 = 0
  /// Events that a subscriber lost because it did not read, counted for each.
  package var eventsDropped: UInt64 = 0
  package var peers: Int = 0
  package var functions: Int = 0
  package var storedPayloadBytes: Int = 0

  package init() {}
}
