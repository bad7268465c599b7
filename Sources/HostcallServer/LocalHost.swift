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
  /// Other requests that wait for their RESULT, by request id, with what they are about.
  var asking: [UInt64: (String, CheckedContinuation<Result<UInt32, HostcallError>, Never>)] = [:]
  var consumers = EventConsumers()
  /// Calls that wait for their RESULT, by request id.
  var calls: [UInt64: LocalCall] = [:]
  /// Calls that this process answers, by correlation id.
  var running: [UInt64: Running] = [:]
  private var lastRequest: UInt64 = 0

  /// What an INVOKE has become. It leaves when its COMPLETE is handed to the bridge.
  struct Running {
    let request: HostcallRequest
    let streams: ServedStreams
    let task: Task<Void, Never>
    /// Whether CANCEL has come: the call has ended, and an outcome reaches nobody.
    var wasCancelled = false
  }

  /// The bit that every request id of this process has and no correlation id has.
  static let requestMark: UInt64 = 1 << 63

  init(peer: PeerID) {
    self.peer = peer
  }

  mutating func nextRequest() -> UInt64 {
    lastRequest += 1
    return Self.requestMark | lastRequest
  }
}

/// A call of this process on its way.
///
/// `@unchecked Sendable` rule: the constants may be read anywhere, the variables only on the loop thread.
final class LocalCall: @unchecked Sendable {
  let parameters: CallParameters
  let payload: ArraySlice<UInt8>
  /// Handed to the bridge with the call.
  var descriptors: HostcallDescriptors
  let streams: CallerStreams
  /// Its request once the bridge has it; 0 before.
  var request: UInt64 = 0
  var wasCancelled = false
  /// What it ends with, if it ends with CANCELLED.
  var cancelReason: HostcallError?
  var whenEnded: ((CallOutcome) -> Void)?

  /// A call as a user asks for it; descriptors are duplicated, and only the call holds the duplicates.
  ///
  /// Errors: `invalidArgument` where the bridge would not take it.
  init(
    _ function: String, _ payload: some HostcallPayload, encoding: PayloadEncoding?, timeout: Duration?,
    options: CallOptions, metadata: Metadata, descriptors: [Int32], wantsReply: Bool = true,
    hasArguments: Bool = false, window: Int? = nil
  ) throws(HostcallError) {
    self.descriptors = try HostcallDescriptors(duplicating: descriptors, for: function)
    parameters = try CallParameters(
      function: function, encoding: encoding ?? payload.payloadEncoding, timeout: timeout, options: options,
      metadata: metadata, wantsReply: wantsReply, descriptors: self.descriptors, hasArguments: hasArguments,
      window: window)
    self.payload = payload.payloadBytes
    streams = CallerStreams(parameters)
  }

  func end(_ outcome: CallOutcome) {
    descriptors = .none
    streams.end(outcome, function: parameters.function)
    whenEnded?(outcome)
    whenEnded = nil
  }
}

extension ServerCore {
  // MARK: Calling

  /// A call begins; without `whenEnded` it is one without reply.
  func begin(_ call: LocalCall, whenEnded: ((CallOutcome) -> Void)?) {
    call.whenEnded = whenEnded
    let function = call.parameters.function
    guard phase != .ended else {
      return call.end(.failure(HostcallError(.closed, function: function, message: "the server has been shut down")))
    }
    guard let timeout = call.parameters.timeoutMilliseconds(), !call.wasCancelled else {
      let status: Status = call.wasCancelled ? .cancelled : .timeout
      let message = call.wasCancelled ? "cancelled before it was sent" : "no time was left when it was to be sent"
      return call.end(
        .failure(call.cancelReason ?? HostcallError(.status(status), function: function, message: message)))
    }
    call.request = host.nextRequest()
    let header = call.parameters.header(request: call.request, timeoutMilliseconds: timeout)
    if whenEnded != nil { host.calls[call.request] = call }
    submit(
      FrameEncoder.encode(header, name: function, metadata: call.parameters.metadata, payload: call.payload),
      descriptors: call.descriptors, from: host.peer)
    call.descriptors = .none
    // The end of no arguments may have been known before.
    sendArguments(of: call)
  }

  func cancel(_ call: LocalCall, because reason: HostcallError? = nil) {
    if call.wasCancelled { return }
    call.wasCancelled = true
    call.cancelReason = reason
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
    case .result: frame.withDecoded { resultCame($0, frame.descriptors) }
    case .invoke: frame.withDecoded { invoked($0, frame.descriptors) }
    case .cancel: cancelled(frame.header)
    case .item: frame.withDecoded(itemCame)
    case .credit: creditCame(frame.header)
    case .event: frame.withDecoded { host.consumers.deliver($0) }
    default: break
    }
  }

  private func resultCame(_ frame: DecodedFrame, _ descriptors: HostcallDescriptors) {
    if let (registration, continuation) = host.registering.removeValue(forKey: frame.header.id) {
      guard frame.header.status == .ok else {
        return continuation.resume(returning: .failure(HostcallError(frame, function: registration.name)))
      }
      host.registrations[frame.header.aux] = registration
      continuation.resume(returning: .success(frame.header.aux))
    } else if let (name, continuation) = host.asking.removeValue(forKey: frame.header.id) {
      let isTaken = frame.header.status == .ok
      continuation.resume(
        returning: isTaken ? .success(frame.header.aux) : .failure(HostcallError(frame, function: name)))
    } else if let call = host.calls.removeValue(forKey: frame.header.id) {
      if frame.header.status == .ok {
        call.end(.success(HostcallResponse(frame, descriptors: descriptors)))
      } else if frame.header.status == .cancelled, let reason = call.cancelReason {
        call.end(.failure(reason.about(call.parameters.function)))
      } else {
        call.end(.failure(HostcallError(frame, function: call.parameters.function)))
      }
    }
  }

  private func invoked(_ frame: DecodedFrame, _ descriptors: HostcallDescriptors) {
    guard let registration = host.registrations[frame.header.function] else {
      let failure = HostcallFailure(status: .unknown, payload: "the function was unregistered as the call came")
      return completed(Completion(correlationID: frame.header.id, failure))
    }
    let streams = ServedStreams(frame.header, window: configuration.itemWindow)
    let request = HostcallRequest(
      frame, registeredName: registration.name, descriptors: descriptors, streams: streams,
      port: LocalServedPort(correlationID: frame.header.id, core: self),
      largestItemBytes: configuration.limits.frameBytes)
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
    host.running[frame.header.id] = LocalHost.Running(request: request, streams: streams, task: task)
  }

  private func cancelled(_ header: FrameHeader) {
    guard let running = host.running[header.id] else { return }
    host.running[header.id]?.wasCancelled = true
    running.streams.end(
      HostcallError(
        .status(header.status), origin: .daemon, function: running.request.function, correlationID: header.id,
        message: "the call has ended")
    ) { running.task.cancel() }
  }

  private func handlerEnded(_ id: UInt64, _ result: Result<HostcallReply, any Error>) {
    guard let running = host.running.removeValue(forKey: id), phase != .ended else { return }
    endStreams(of: running)
    // After CANCEL the call has ended, so whatever the handler came to reaches nobody.
    completed(
      running.wasCancelled
        ? Completion(correlationID: id, status: .cancelled, reply: HostcallReply())
        : Completion(correlationID: id, result))
    settle()
  }

  private func completed(_ completion: Completion) {
    submit(
      FrameEncoder.encode(completion.header, metadata: completion.metadata, payload: completion.payload),
      descriptors: completion.descriptors, from: host.peer)
  }

  /// The server has ended: handlers are told to stop; nobody waits for them.
  func hostEnds() {
    let error = HostcallError(.closed, message: "the server has been shut down")
    for running in host.running.values {
      running.streams.end(error.about(running.request.function)) { running.task.cancel() }
    }
    for call in host.calls.values { call.end(.failure(error.about(call.parameters.function))) }
    host.calls = [:]
    host.consumers.endAll(nil)
    // Handlers often hold the server that calls them.
    host.registrations = [:]
  }
}
