package import HostcallWire

/// A step in the life of a call, for a log that wants all of them.
package struct CallNotice: Sendable, Equatable {
  package enum Step: Sendable, Equatable {
    /// The daemon has taken it: it will have one outcome.
    case accepted
    /// It was sent to a worker.
    case dispatched
    /// It has its outcome.
    case ended(Status)
  }

  package let step: Step
  package let correlationID: UInt64
  /// The called name.
  package let function: String
  /// Who has made it; nobody where the caller has gone.
  package let caller: PeerID
  /// Who runs it, or ran it last; nobody where nobody has.
  package let worker: PeerID
}

extension Bridge {
  /// Tells of a step, where somebody wants to know.
  @inline(__always)
  mutating func trace(_ step: CallNotice.Step, of call: Call, into actions: inout ActionBuffer) {
    if tracesCalls { tell(step, of: call, into: &actions) }
  }

  @inline(never)
  private mutating func tell(_ step: CallNotice.Step, of call: Call, into actions: inout ActionBuffer) {
    actions.tell(
      CallNotice(
        step: step, correlationID: call.pointee.id.rawValue, function: functions.text(call.pointee.called),
        caller: call.pointee.caller, worker: call.pointee.worker))
  }
}
