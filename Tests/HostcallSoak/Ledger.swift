import HostcallWire

/// Everything that is known of one call, from its caller and from every worker that it came to.
final class SoakCall {
  /// What ended it for its caller.
  struct Outcome {
    let status: Status
    let isFromWorker: Bool
    let correlationID: UInt64
  }

  let identity: UInt64
  let plan: SoakPlan
  let function: SoakFunction?
  let flags: FrameFlags
  let timeoutMilliseconds: UInt32
  let sentNanoseconds: UInt64
  /// How many items the worker is to send, or the caller.
  let items: Int
  let hasMetadata: Bool
  var wasCancelled = false
  var outcome: Outcome?
  /// Whether its caller's connection has ended before the outcome came.
  var callerIsGone = false
  var invocations: [SoakInvocation] = []
  /// Result items that have come, and credit for more.
  var itemsReceived = 0
  var itemCredit = 0
  /// Argument items that have left, and credit for more.
  var argumentsSent = 0
  var argumentCredit = 0

  init(
    identity: UInt64, plan: SoakPlan, function: SoakFunction?, flags: FrameFlags, timeoutMilliseconds: UInt32,
    sentNanoseconds: UInt64, items: Int, hasMetadata: Bool
  ) {
    self.identity = identity
    self.plan = plan
    self.function = function
    self.flags = flags
    self.timeoutMilliseconds = timeoutMilliseconds
    self.sentNanoseconds = sentNanoseconds
    self.items = items
    self.hasMetadata = hasMetadata
  }

  var mayRunAgain: Bool { flags.contains(.idempotent) || function?.isIdempotent ?? false }
}

/// One INVOKE of a call, as its worker has seen it.
final class SoakInvocation {
  let id: UInt64
  let call: SoakCall
  let handle: UInt32
  /// Statuses of the COMPLETEs sent.
  var completions: [Status] = []
  /// The status of CANCEL.
  var cancelled: Status?
  var rejections: [Status] = []
  /// Whether the worker's connection has ended before a PONG said that the above has arrived.
  var workerIsGone = false
  var itemsSent = 0
  var itemCredit = 0
  var argumentsReceived = 0
  /// ITEMs and CREDITs sent, each of which may have come too late.
  var framesSent = 0

  init(id: UInt64, call: SoakCall, handle: UInt32) {
    self.id = id
    self.call = call
    self.handle = handle
  }

  /// Whether the daemon has taken the first completion for the outcome, for certain.
  var isAccepted: Bool { !completions.isEmpty && cancelled == nil && !workerIsGone }
}

/// The account of every call: what was sent, what came of it, and what should not have.
final class Ledger {
  private static let keptViolations = 40

  private(set) var calls: [UInt64: SoakCall] = [:]
  private var correlationIDs: [UInt64: UInt64] = [:]
  private var nextIdentity: UInt64 = 0
  var counts = SoakCounts()
  private(set) var violations: [String] = []
  private(set) var violationCount = 0

  /// How many INVOKEs a call may cause: the first, and the most that the daemon sends again.
  static let mostInvocations = 3

  func newIdentity() -> UInt64 {
    nextIdentity += 1
    return nextIdentity
  }

  func violated(_ what: String) {
    violationCount += 1
    if violations.count < Self.keptViolations { violations.append(what) }
  }

  func open(_ call: SoakCall) {
    calls[call.identity] = call
    counts.calls += 1
  }

  func call(_ identity: UInt64) -> SoakCall? { calls[identity] }

  /// A worker was given a call.
  func invoked(_ id: UInt64, _ call: SoakCall, handle: UInt32) -> SoakInvocation {
    counts.invocations += 1
    // The same call may be sent again, under its id; no other may have it, ever.
    if let former = correlationIDs.updateValue(call.identity, forKey: id), former != call.identity {
      violated("correlation id \(id) was issued for call \(former) and again for call \(call.identity)")
    }
    let invocation = SoakInvocation(id: id, call: call, handle: handle)
    call.invocations.append(invocation)
    return invocation
  }

  /// Checks every call that is over and forgets it; to be called when nothing is on its way any more.
  ///
  /// Calls that nobody waits for and that came to no worker yet may still do so, until their deadline and a while.
  func settle(now: UInt64) {
    var kept: [UInt64: SoakCall] = [:]
    for (identity, call) in calls {
      let isWaitedFor = !call.callerIsGone && !call.flags.contains(.noReply)
      let lasts = call.sentNanoseconds + (UInt64(call.timeoutMilliseconds) + 5_000) * 1_000_000
      if !isWaitedFor, call.invocations.isEmpty, now < lasts {
        kept[identity] = call
      } else {
        check(call)
      }
    }
    calls = kept
  }
}
