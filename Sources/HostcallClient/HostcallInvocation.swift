public import HostcallFunctions
public import HostcallWire

/// A call whose completion the worker sends itself: from any thread, in any order, at any time.
///
/// Each one has to be completed exactly once, also after it was cancelled; until then it holds one of the worker's
/// places. A further completion, or one after the call has ended, changes nothing: the daemon refuses it, and the
/// refusal comes out of ``HostcallClient/rejections``. Thread: any.
public struct HostcallInvocation: Sendable {
  /// The call.
  public let request: HostcallRequest
  let linkNumber: UInt64
  let connection: ClientConnection

  /// Ends the call with a result (protocol section 4, COMPLETE).
  ///
  /// It is sent with the next turn of the client's loop; once the connection it came by has ended, it goes nowhere.
  public func complete(_ reply: some HostcallReplyConvertible) {
    send(Completion(correlationID: request.correlationID, status: .ok, reply: reply.hostcallReply))
  }

  /// Ends the call with an empty result.
  public func complete() {
    complete(HostcallReply())
  }

  /// Ends the call with another status and bytes.
  public func complete(_ failure: HostcallFailure) {
    send(Completion(correlationID: request.correlationID, failure))
  }

  func send(_ completion: Completion) {
    let linkNumber = linkNumber
    connection.enter { $0.complete(completion, linkNumber: linkNumber) }
  }
}

/// A completion that the daemon did not take (protocol section 4, REJECTED).
public struct HostcallRejection: Sendable, Hashable {
  /// The call.
  public let correlationID: UInt64
  /// Why: LATE (the call had ended), DUPLICATE (this worker had completed it), UNKNOWN_CALL, TOO_LARGE.
  public let status: Status
}
