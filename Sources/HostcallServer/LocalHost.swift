import HostcallBridge
import HostcallFunctions
import HostcallLoop
import HostcallWire

/// The program that embeds the server, as one more peer of the bridge: its functions and the calls it has made.
struct LocalHost {
  typealias Handler = @Sendable (HostcallRequest) async throws -> HostcallReply

  struct Registration {
    let name: String
    let handler: Handler
  }

  let peer: PeerID
  /// Registrations by the handle that INVOKE carries.
  var registrations: [UInt32: Registration] = [:]
  /// Registrations that wait for their RESULT, by request id.
  var registering: [UInt64: (Registration, CheckedContinuation<Result<UInt32, HostcallError>, Never>)] = [:]
  /// Calls that wait for their RESULT, by request id.
  var calls: [UInt64: LocalCall] = [:]
  /// Tasks of handlers, by correlation id, and whether CANCEL has come.
  var tasks: [UInt64: (task: Task<Void, Never>, wasCancelled: Bool)] = [:]
  private var lastRequest: UInt64 = 0

  init(peer: PeerID) {
    self.peer = peer
  }

  mutating func nextRequest() -> UInt64 {
    lastRequest += 1
    return lastRequest
  }
}

/// A call of this process on its way.
///
/// `@unchecked Sendable` rule: the constants may be read anywhere, the variables only on the loop thread.
final class LocalCall: @unchecked Sendable {
  typealias Outcome = Result<HostcallResponse, HostcallError>

  let parameters: CallParameters
  let payload: ArraySlice<UInt8>
  /// Its request once the bridge has it; 0 before.
  var request: UInt64 = 0
  var wasCancelled = false
  var continuation: CheckedContinuation<Outcome, Never>?

  init(_ parameters: CallParameters, payload: ArraySlice<UInt8>) {
    self.parameters = parameters
    self.payload = payload
  }

  func end(_ outcome: Outcome) {
    continuation?.resume(returning: outcome)
    continuation = nil
  }
}

extension ServerCore {
  // MARK: Calling

  func begin(_ call: LocalCall, _ continuation: CheckedContinuation<LocalCall.Outcome, Never>?) {
    call.continuation = continuation
    let function = call.parameters.function
    guard phase != .ended else {
      return call.end(.failure(HostcallError(.closed, function: function, message: "the server has been shut down")))
    }
    guard let timeout = call.parameters.timeoutMilliseconds(), !call.wasCancelled else {
      let status: Status = call.wasCancelled ? .cancelled : .timeout
      let message = call.wasCancelled ? "cancelled before it was sent" : "no time was left when it was to be sent"
      return call.end(.failure(HostcallError(.status(status), function: function, message: message)))
    }
    call.request = host.nextRequest()
    let header = FrameHeader(
      kind: .call, flags: call.parameters.flags, encoding: call.parameters.encoding, id: call.request,
      timeoutMilliseconds: timeout)
    if continuation != nil { host.calls[call.request] = call }
    submit(
      FrameEncoder.encode(header, name: function, metadata: call.parameters.metadata, payload: call.payload),
      from: host.peer)
    settle()
  }

  func cancel(_ call: LocalCall) {
    call.wasCancelled = true
    guard host.calls[call.request] != nil else { return }
    submit(FrameEncoder.encode(FrameHeader(kind: .cancel, id: call.request)), from: host.peer)
    settle()
  }

  // MARK: Registering

  func register(
    _ parameters: RegistrationParameters, _ handler: @escaping LocalHost.Handler
  ) async throws(HostcallError) -> UInt32 {
    guard phase != .ended else {
      throw HostcallError(.closed, function: parameters.name, message: "the server has been shut down")
    }
    guard !parameters.name.hasPrefix(ProtocolConstants.reservedNamePrefix) else {
      throw HostcallError(
        .status(.invalidArgument), origin: .daemon, function: parameters.name,
        message: "names that begin with hostcall. belong to the daemon")
    }
    let outcome = await withCheckedContinuation { continuation in
      let request = host.nextRequest()
      host.registering[request] = (LocalHost.Registration(name: parameters.name, handler: handler), continuation)
      submit(
        FrameEncoder.encode(
          parameters.header(request: request), name: parameters.name, metadata: parameters.metadata),
        from: host.peer)
      settle()
    }
    return try outcome.get()
  }

  /// After it returns the handler gets no new call; those that it has it finishes.
  func unregister(_ handle: UInt32) {
    guard host.registrations.removeValue(forKey: handle) != nil else { return }
    let header = FrameHeader(kind: .unregister, id: host.nextRequest(), function: handle)
    submit(FrameEncoder.encode(header), from: host.peer)
    settle()
  }

  // MARK: What the bridge sends

  func hostReceived(_ frame: LocalFrame) {
    switch frame.header.kind {
    case .result: frame.withDecoded(resultCame)
    case .invoke: frame.withDecoded(invoked)
    case .cancel:
      host.tasks[frame.header.id]?.wasCancelled = true
      host.tasks[frame.header.id]?.task.cancel()
    default: break
    }
  }

  private func resultCame(_ frame: DecodedFrame) {
    if let (registration, continuation) = host.registering.removeValue(forKey: frame.header.id) {
      guard frame.header.status == .ok else {
        return continuation.resume(returning: .failure(HostcallError(frame, function: registration.name)))
      }
      host.registrations[frame.header.aux] = registration
      continuation.resume(returning: .success(frame.header.aux))
    } else if let call = host.calls.removeValue(forKey: frame.header.id) {
      let isResult = frame.header.status == .ok
      call.end(
        isResult
          ? .success(HostcallResponse(frame))
          : .failure(HostcallError(frame, function: call.parameters.function)))
    }
  }

  private func invoked(_ frame: DecodedFrame) {
    guard let registration = host.registrations[frame.header.function] else {
      let failure = HostcallFailure(status: .unknown, payload: "the function was unregistered as the call came")
      return completed(Completion(correlationID: frame.header.id, failure))
    }
    let request = HostcallRequest(frame, registeredName: registration.name)
    let handler = registration.handler
    let task = Task {
      let result: Result<HostcallReply, any Error>
      do {
        result = .success(try await HostcallContext.$current.withValue(request.context) { try await handler(request) })
      } catch {
        result = .failure(error)
      }
      handlerEnded(request.correlationID, result)
    }
    host.tasks[frame.header.id] = (task, false)
  }

  private func handlerEnded(_ id: UInt64, _ result: Result<HostcallReply, any Error>) {
    guard let (_, wasCancelled) = host.tasks.removeValue(forKey: id), phase != .ended else { return }
    // After CANCEL the call has ended, so whatever the handler came to reaches nobody.
    completed(
      wasCancelled
        ? Completion(correlationID: id, status: .cancelled, reply: HostcallReply())
        : Completion(correlationID: id, result))
    settle()
  }

  private func completed(_ completion: Completion) {
    submit(
      FrameEncoder.encode(completion.header, metadata: completion.metadata, payload: completion.payload),
      from: host.peer)
  }

  /// The server has ended: handlers are told to stop; nobody waits for them.
  func hostEnds() {
    for (task, _) in host.tasks.values { task.cancel() }
    for call in host.calls.values {
      call.end(
        .failure(
          HostcallError(.closed, function: call.parameters.function, message: "the server has been shut down")))
    }
    host.calls = [:]
    // Handlers often hold the server that calls them.
    host.registrations = [:]
  }
}
