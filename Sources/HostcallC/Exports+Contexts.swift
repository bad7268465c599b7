// The names are those of hostcall.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CHostcall
import Glibc
import HostcallClient
import HostcallFunctions
import HostcallLoop
import HostcallServer
import HostcallWire

// The functions of hostcall.h about versions, errors and contexts. The compiler holds each against its declaration.

@c @implementation
public func hostcall_abi_version() -> UInt32 { UInt32(HOSTCALL_ABI_VERSION) }

@c @implementation
public func hostcall_check_abi(_ abi_version: UInt32) -> hostcall_status {
  answering { () throws(InterfaceError) in
    guard abi_version == UInt32(HOSTCALL_ABI_VERSION) else {
      throw InterfaceError(
        HOSTCALL_VERSION,
        "this program was compiled for version \(abi_version) of the interface, and libhostcall "
          + "\(HostcallVersion.current) has version \(HOSTCALL_ABI_VERSION): compile it with the header of this library"
      )
    }
  }
}

@c @implementation
public func hostcall_version() -> UnsafePointer<CChar>? { ConstantTexts.version }

@c @implementation
public func hostcall_last_error() -> UnsafePointer<CChar>? { LastError.text }

@c @implementation
public func hostcall_status_name(_ status: hostcall_status) -> UnsafePointer<CChar>? {
  ConstantTexts.name(ofStatus: status)
}

@c @implementation
public func hostcall_connect(
  _ options: UnsafePointer<hostcall_context_options>?, _ context: UnsafeMutablePointer<OpaquePointer?>?
) -> hostcall_status {
  opening(options, context) { options, dispatcher throws(InterfaceError) in
    let client = try ContextOptions.connect(options.client)
    return Context.make(client, nil, dispatcher)
  }
}

@c @implementation
public func hostcall_open(
  _ options: UnsafePointer<hostcall_context_options>?, _ context: UnsafeMutablePointer<OpaquePointer?>?
) -> hostcall_status {
  opening(options, context) { options, dispatcher throws(InterfaceError) in
    let server = try ContextOptions.open(options.socketPath)
    var configuration = options.client
    configuration.socketPath = options.socketPath ?? "this process"
    let client = try ContextOptions.connect(configuration) { connect(to: server) }
    return Context.make(client, server, dispatcher)
  }
}

/// One end of a connection to a bridge in this process.
private func connect(to server: HostcallServer) -> Result<Int32, LoopError> {
  Result { () throws(LoopError) in
    let (one, other) = try UnixSocket.pair()
    server.adopt(other)
    return one
  }
}

/// What connecting and opening share.
private func opening(
  _ options: UnsafePointer<hostcall_context_options>?, _ context: UnsafeMutablePointer<OpaquePointer?>?,
  _ make: (ContextOptions, Dispatcher) throws(InterfaceError) -> OpaquePointer?
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    guard let context else { throw .null("the place for the context") }
    context.pointee = nil
    let options = try ContextOptions(options)
    context.pointee = try make(options, Dispatcher(threadLimit: options.threadLimit))
  }
}

@c @implementation
public func hostcall_close(_ context: OpaquePointer?) -> hostcall_status {
  if context == nil { return hostcall_status(HOSTCALL_OK) }
  return answering { () throws(InterfaceError) in try Context.take(context).close() }
}

@c @implementation
public func hostcall_shutdown(_ context: OpaquePointer?, _ grace_milliseconds: UInt32) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let isDone = try Context.with(context).shutDown(milliseconds: Int(grace_milliseconds))
    try Context.take(context).close()
    guard isDone else {
      throw InterfaceError(
        HOSTCALL_TIMEOUT, "some calls had not been completed after \(grace_milliseconds) ms; the context is closed")
    }
  }
}

@c @implementation
public func hostcall_ping(_ context: OpaquePointer?) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    let outcome: Result<Duration, HostcallError> = context.wait { context.client.ping($0) }
    _ = try translating { () throws(HostcallError) in try outcome.get() }
  }
}

@c @implementation
public func hostcall_poll_fd(_ context: OpaquePointer?) -> Int32 {
  var descriptor: Int32 = -1
  _ = answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    try context.checkPolled()
    descriptor = context.dispatcher.descriptor
  }
  return descriptor
}

@c @implementation
public func hostcall_poll(
  _ context: OpaquePointer?, _ timeout_milliseconds: Int32, _ callbacks: UnsafeMutablePointer<UInt32>?
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    callbacks?.pointee = 0
    let context = try Context.with(context)
    try context.checkPolled()
    let count = context.dispatcher.poll(milliseconds: timeout_milliseconds < 0 ? nil : Int(timeout_milliseconds))
    callbacks?.pointee = UInt32(clamping: count)
    guard count > 0 || !context.dispatcher.hasEnded else {
      throw InterfaceError(HOSTCALL_CONNECTION_LOST, "the connection was lost, and this context makes no other")
    }
  }
}
