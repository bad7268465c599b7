import CHostcall
import HostcallClient
import HostcallFunctions
import HostcallLoop
import HostcallWire

// Calls that a C program makes, and the items of all streams.
extension Context {
  /// A call that was checked and has not begun.
  func port(
    _ name: String, _ options: hostcall_call_options?, _ payload: ArraySlice<UInt8>, allowed: [Int]
  ) throws(InterfaceError) -> any CallerPort {
    let flags = try Arguments.flags(options?.flags ?? 0, allowed: allowed, "hostcall_call_options")
    let metadata = try Arguments.metadata(options?.metadata, options?.metadata_count ?? 0)
    let encoding = try Arguments.encoding(options?.encoding ?? 0)
    var callOptions: CallOptions = []
    if flags.contains(HOSTCALL_WAIT) { callOptions.insert(.wait) }
    if flags.contains(HOSTCALL_IDEMPOTENT) { callOptions.insert(.idempotent) }
    let timeout = options?.timeout_milliseconds ?? 0
    let credit = Int(options?.item_credit ?? 0)
    let context = try handlerContext(options?.inside ?? 0)
    let parameters = HostcallContext.$current.withValue(context) {
      Result { () throws(HostcallError) in
        try CallParameters(
          function: name, encoding: encoding, timeout: timeout == 0 ? nil : .milliseconds(Int64(timeout)),
          options: callOptions, metadata: metadata, wantsReply: !flags.contains(HOSTCALL_NO_REPLY),
          hasArguments: flags.contains(HOSTCALL_ARGUMENTS), window: credit == 0 ? nil : credit)
      }
    }
    return client.port(try translating { () throws(HostcallError) in try parameters.get() }, payload: payload)
  }

  /// What a call inherits: from the invocation that it names, or from the one whose host function runs on this thread.
  private func handlerContext(_ number: UInt64) throws(InterfaceError) -> HostcallContext? {
    if number == 0 { return HostcallContext.current }
    guard let invocation = tables.withLock({ $0.invocations.find(number) }) else {
      try state(of: number)
      throw Self.unknown(number)
    }
    return invocation.call.request.context
  }

  /// Begins a call, after its number was told.
  func begin(
    _ port: any CallerPort, _ options: hostcall_call_options?, onResult: hostcall_result_function?,
    userData: UnsafeMutableRawPointer?, told number: UnsafeMutablePointer<UInt64>?
  ) throws(InterfaceError) {
    let begun = tables.withLock { tables -> OutgoingRequest? in
      if tables.isClosed { return nil }
      let number = tables.nextNumber()
      let request = OutgoingRequest(number, port, self, options, onResult: onResult, userData: userData)
      tables.requests[number] = request
      // Closing waits until its end was told.
      dispatcher.hold()
      return request
    }
    guard let request = begun else { throw .closed }
    // It may end, and somebody may look for its number, before this returns.
    number?.pointee = request.number
    request.begin()
  }

  func forget(request number: UInt64) {
    _ = tables.withLock { $0.requests.removeValue(forKey: number) }
  }

  func cancel(_ number: UInt64) throws(InterfaceError) {
    let (request, last) = tables.withLock { ($0.requests[number], $0.lastNumber) }
    guard let request else {
      throw number > 0 && number <= last
        ? InterfaceError(HOSTCALL_LATE, "the request \(number) has ended") : Self.unknown(number)
    }
    request.port.cancel(nil)
  }

  // MARK: Items

  func sendItem(
    _ id: UInt64, _ payload: ArraySlice<UInt8>, _ encoding: PayloadEncoding, milliseconds: Int
  ) throws(InterfaceError) {
    try itemPort(id).send(payload, encoding, milliseconds: milliseconds)
  }

  func endItems(_ number: UInt64) throws(InterfaceError) {
    guard let request = tables.withLock({ $0.requests[number] }) else { try ended(number) }
    guard let arguments = request.arguments else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "the request \(number) has no arguments (HOSTCALL_ARGUMENTS)")
    }
    try arguments.end()
  }

  func addCredit(_ id: UInt64, _ items: UInt32) throws(InterfaceError) {
    if items == 0 { return }
    let receiver: ItemReceiver?
    let port: (any CallPort)?
    if let request = tables.withLock({ $0.requests[id] }) {
      (receiver, port) = (request.port.streams.results, request.port)
    } else if let invocation = tables.withLock({ $0.invocations.find(id) }) {
      let arguments = invocation.call.request.arguments
      let areTaken = invocation.function.onItem != nil && arguments.areSent
      (receiver, port) = (areTaken ? arguments.items : nil, arguments.port)
      if areTaken, invocation.beginTaking() { takeArgument(of: invocation) }
    } else {
      try ended(id)
    }
    guard let receiver, let port else {
      throw InterfaceError(
        HOSTCALL_INVALID_ARGUMENT, "no items of \(id) are taken: there is no on_item, or none follow")
    }
    if receiver.grantByHand(items) { port.grant(items) }
  }

  private func itemPort(_ id: UInt64) throws(InterfaceError) -> ItemPort {
    if let request = tables.withLock({ $0.requests[id] }) {
      if let arguments = request.arguments { return arguments }
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "the request \(id) has no arguments (HOSTCALL_ARGUMENTS)")
    }
    if let invocation = tables.withLock({ $0.invocations.find(id) }) {
      if let results = invocation.results { return results }
      throw InterfaceError(
        HOSTCALL_INVALID_ARGUMENT, "the caller of \(id) takes no items (see HOSTCALL_ITEMS_TAKEN)")
    }
    try ended(id)
  }

  /// Says what has become of a number that nothing has any more.
  private func ended(_ id: UInt64) throws(InterfaceError) -> Never {
    let last = tables.withLock { $0.lastNumber }
    guard id > 0, id <= last else { throw Self.unknown(id) }
    throw InterfaceError(HOSTCALL_LATE, "the call \(id) has ended")
  }
}
