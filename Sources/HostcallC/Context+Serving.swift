import CHostcall
import Glibc
import HostcallClient
import HostcallFunctions
import HostcallLoop
import HostcallWire

// Host functions of a C program, and the calls that they answer.
extension Context {
  // MARK: Registering

  func register(
    _ name: String, _ options: hostcall_function_options?, _ function: @escaping hostcall_function,
    _ userData: UserData
  ) throws(InterfaceError) {
    let parameters = try Self.parameters(name, options)
    let replaces = options?.mode == UInt32(HOSTCALL_REPLACE)
    let function = HostFunction(function, userData, options)
    let entry = RegisteredName(function)
    let (present, isClosed) = tables.withLock { tables -> (RegisteredName?, Bool) in
      if tables.isClosed { return (nil, true) }
      if let present = tables.names[name] { return (present, false) }
      tables.names[name] = entry
      return (nil, false)
    }
    if isClosed { throw .closed }
    if let present {
      guard replaces else {
        throw InterfaceError(
          HOSTCALL_ALREADY_REGISTERED,
          "\(name): this context has it already (HOSTCALL_REPLACE puts another in its place)")
      }
      guard present.replace(function) else {
        throw InterfaceError(
          HOSTCALL_ALREADY_REGISTERED,
          "\(name): another thread is registering or removing it, and the daemon has not answered")
      }
      return
    }
    let error: HostcallError? = wait { answer in
      entry.begin(
        client.register(
          parameters, onCancel: { [self] in cancelled($0, $1) }, handler: { [self] in invoked($0, entry) }, answer))
    }
    guard let error else { return entry.establish() }
    _ = entry.end()
    tables.withLock { tables in
      if tables.names[name] === entry { tables.names[name] = nil }
    }
    throw InterfaceError(error)
  }

  private static func parameters(
    _ name: String, _ options: hostcall_function_options?
  ) throws(InterfaceError) -> RegistrationParameters {
    let flags = try Arguments.flags(
      options?.flags ?? 0, allowed: [HOSTCALL_IDEMPOTENT, HOSTCALL_CALLER_IDENTITY], "hostcall_function_options")
    let modes: [RegistrationMode] = [.shared, .exclusive, .replace]
    guard case let mode = Int(options?.mode ?? 0), modes.indices.contains(mode) else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "the mode \(options?.mode ?? 0) cannot be: choose 0 to 2")
    }
    let timeout = options?.timeout_milliseconds ?? 0
    return try translating { () throws(HostcallError) in
      try RegistrationParameters(
        name: name, concurrency: Int(options?.concurrency ?? 0), mode: modes[mode],
        timeout: timeout == 0 ? nil : .milliseconds(Int64(timeout)), idempotent: flags.contains(HOSTCALL_IDEMPOTENT),
        callerIdentity: flags.contains(HOSTCALL_CALLER_IDENTITY))
    }
  }

  func unregister(_ name: String) throws(InterfaceError) {
    let entry = tables.withLock { $0.names.removeValue(forKey: name) }
    guard let entry else { throw InterfaceError(HOSTCALL_NOT_FOUND, "\(name): this context has not registered it") }
    entry.end()?.unregister { _ in }
  }

  // MARK: Invocations

  /// A call has come. Thread: the loop's.
  private func invoked(_ call: HostcallInvocation, _ entry: RegisteredName) {
    let function = entry.function
    let number = tables.withLock { $0.nextNumber() }
    let invocation = Invocation(number, call, function, self)
    tables.withLock { $0.invocations.insert(invocation) }
    if call.request.arguments.areSent { call.request.arguments.items.beginGrantingByHand() }
    dispatcher.run { [self] in
      guard tables.withLock({ $0.invocations.begin(invocation) }) else {
        // It was over before anybody could have begun with it, and nobody has to hear of it.
        invocation.strand.dropAll()
        return call.complete(with: .cancelled, HostcallReply())
      }
      invocation.strand.begin()
      HostcallContext.$current.withValue(call.request.context) { run(invocation) }
    }
  }

  private func run(_ invocation: Invocation) {
    let request = invocation.call.request
    let texts = TextBlock(payload: [], metadata: request.metadata, text: request.function)
    request.payload.withUnsafeBufferPointer { bytes in
      var lent = hostcall_invocation()
      lent.struct_size = MemoryLayout<hostcall_invocation>.stride
      lent.call_id = invocation.number
      lent.correlation_id = request.correlationID
      lent.name = texts.text
      lent.data = bytes.isEmpty ? nil : bytes.baseAddress
      lent.size = bytes.count
      lent.metadata = texts.metadata
      lent.metadata_count = texts.metadataCount
      lent.timeout_milliseconds = UInt32(clamping: TimeoutRules.milliseconds(request.timeLeft))
      lent.encoding = UInt32(request.encoding.rawValue)
      var flags = 0
      if request.isIdempotent { flags |= HOSTCALL_IDEMPOTENT }
      if request.results.areTaken { flags |= HOSTCALL_ITEMS_TAKEN }
      if request.arguments.areSent { flags |= HOSTCALL_ARGUMENTS }
      lent.flags = UInt32(flags)
      withUnsafePointer(to: lent) { invocation.function.function(handle, $0, invocation.function.userData.pointer) }
    }
    free(texts.block)
  }

  /// Takes argument items as they come, up to their end.
  func takeArgument(of invocation: Invocation) {
    invocation.call.request.arguments.items.next { [self] next in
      // Where the call ends before its last argument, on_cancel says so.
      guard case .success(let item) = next else { return }
      let function = invocation.function
      invocation.strand.run { [self] in
        func tell(_ item: UnsafePointer<hostcall_item>?) {
          function.onItem?(handle, invocation.number, item, function.userData.pointer)
        }
        if let item { ResultMemory.withItem(item, tell) } else { tell(nil) }
      }
      if item != nil { takeArgument(of: invocation) }
    }
  }

  /// A call is over before it was completed. Thread: the loop's.
  private func cancelled(_ call: HostcallInvocation, _ why: Status) {
    let invocation = tables.withLock { tables in
      tables.invocations.end(correlationID: call.request.correlationID, withConnection: why == .workerLost)
    }
    guard let invocation, invocation.function.onCancel != nil else { return }
    let function = invocation.function
    invocation.strand.run { [self] in
      function.onCancel?(handle, invocation.number, hostcall_status(why.rawValue), function.userData.pointer)
    }
  }

  // MARK: Completing

  func complete(
    _ number: UInt64, _ status: hostcall_status, _ payload: ArraySlice<UInt8>, _ encoding: PayloadEncoding,
    _ metadata: Metadata
  ) throws(InterfaceError) {
    guard let byte = UInt8(exactly: status), case let status = Status(rawValue: byte), status.isAllowedInCompletion,
      status.isAssigned
    else {
      throw InterfaceError(
        HOSTCALL_INVALID_ARGUMENT,
        "a call cannot be completed with the status \(status): 0 to 8, FAILED, CANCELLED, UNKNOWN or 128 to 255")
    }
    switch tables.withLock({ $0.invocations.complete(number) }) {
    case .accepted(let invocation):
      let reply = HostcallReply(payload, encoding: encoding, metadata: metadata)
      invocation.call.complete(with: status, reply)
    case .late(let invocation):
      invocation.call.complete(with: .cancelled, HostcallReply())
      throw Self.late(number)
    case .gone: throw Self.late(number)
    case .duplicate: throw Self.duplicate(number)
    case .unknown: throw Self.unknown(number)
    }
  }

  func state(of number: UInt64) throws(InterfaceError) {
    switch tables.withLock({ $0.invocations.state(number) }) {
    case .accepted: return
    case .late, .gone: throw Self.late(number)
    case .duplicate: throw Self.duplicate(number)
    case .unknown: throw Self.unknown(number)
    }
  }

  private static func late(_ number: UInt64) -> InterfaceError {
    InterfaceError(HOSTCALL_LATE, "the call \(number) was over: by deadline, cancel, or loss of a connection")
  }

  private static func duplicate(_ number: UInt64) -> InterfaceError {
    InterfaceError(HOSTCALL_DUPLICATE, "the call \(number) had been completed")
  }

  static func unknown(_ number: UInt64) -> InterfaceError {
    InterfaceError(HOSTCALL_UNKNOWN_CALL, "the number \(number) was never given out by this context")
  }
}
