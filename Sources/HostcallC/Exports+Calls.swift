// The names are those of hostcall.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CHostcall
import HostcallFunctions
import HostcallLoop
import HostcallWire

// The functions of hostcall.h about calls, items and memory. The compiler holds each against its declaration.

@c @implementation
public func hostcall_result_free(_ result: UnsafeMutablePointer<hostcall_result>?) {
  guard let result else { return }
  OwnedMemory.free(result.pointee.handle)
  result.pointee = hostcall_result()
  result.pointee.struct_size = MemoryLayout<hostcall_result>.stride
}

@c @implementation
public func hostcall_buffer_alloc(_ size: Int, _ buffer: UnsafeMutablePointer<hostcall_buffer>?) -> hostcall_status {
  answering { () throws(InterfaceError) in
    guard let buffer else { throw .null("the place for the buffer") }
    guard !OwnedMemory.has(buffer.pointee.handle) else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "the buffer is full: hostcall_buffer_free comes first")
    }
    buffer.pointee = hostcall_buffer()
    guard size >= 0, size <= Int(UInt32.max), let memory = OwnedMemory.zeroed(size) else {
      throw InterfaceError(HOSTCALL_OVERLOADED, "there is no memory for a buffer of \(UInt(bitPattern: size)) bytes")
    }
    buffer.pointee.data = memory.assumingMemoryBound(to: UInt8.self)
    buffer.pointee.size = size
    buffer.pointee.handle = OwnedMemory.keep(memory)
  }
}

@c @implementation
public func hostcall_buffer_free(_ buffer: UnsafeMutablePointer<hostcall_buffer>?) {
  guard let buffer else { return }
  OwnedMemory.free(buffer.pointee.handle)
  buffer.pointee = hostcall_buffer()
}

@c @implementation
public func hostcall_call(
  _ context: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<hostcall_call_options>?,
  _ data: UnsafeRawPointer?, _ size: Int, _ on_result: hostcall_result_function?, _ user_data: UnsafeMutableRawPointer?,
  _ request: UnsafeMutablePointer<UInt64>?
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    let options = try Arguments.structure(options, "HOSTCALL_CALL_OPTIONS_INIT")
    let name = try Arguments.text(name, "the name")
    let wantsReply = (options?.flags ?? 0) & UInt32(HOSTCALL_NO_REPLY) == 0
    if wantsReply, on_result == nil { throw .null("on_result") }
    let hasItems = (options?.item_credit ?? 0) > 0 || (options?.flags ?? 0) & UInt32(HOSTCALL_ARGUMENTS) != 0
    guard wantsReply || !hasItems else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "a call without reply has no items, neither way")
    }
    if let options, options.item_credit > 0, options.on_item == nil { throw .null("on_item") }
    let port = try context.port(
      name, options, Arguments.bytes(data, size),
      allowed: [HOSTCALL_WAIT, HOSTCALL_IDEMPOTENT, HOSTCALL_NO_REPLY, HOSTCALL_ARGUMENTS])
    try context.begin(port, options, onResult: on_result, userData: user_data, told: request)
  }
}

@c @implementation
public func hostcall_call_wait(
  _ context: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<hostcall_call_options>?,
  _ data: UnsafeRawPointer?, _ size: Int, _ result: UnsafeMutablePointer<hostcall_result>?
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    let options = try Arguments.structure(options, "HOSTCALL_CALL_OPTIONS_INIT")
    if let result { try Arguments.checkEmpty(result) }
    guard options?.item_credit ?? 0 == 0 else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "hostcall_call_wait takes no items: use hostcall_call")
    }
    let port = try context.port(
      Arguments.text(name, "the name"), options, Arguments.bytes(data, size),
      allowed: [HOSTCALL_WAIT, HOSTCALL_IDEMPOTENT, HOSTCALL_NO_REPLY])
    let outcome: CallOutcome = context.wait { port.begin($0) }
    result?.pointee = ResultMemory(outcome).handedOver()
    _ = try translating { () throws(HostcallError) in try outcome.get() }
  }
}

@c @implementation
public func hostcall_cancel(_ context: OpaquePointer?, _ request: UInt64) -> hostcall_status {
  answering { () throws(InterfaceError) in try Context.with(context).cancel(request) }
}

@c @implementation
public func hostcall_send_item(
  _ context: OpaquePointer?, _ id: UInt64, _ data: UnsafeRawPointer?, _ size: Int, _ encoding: UInt32
) -> hostcall_status {
  sendItem(context, id, data, size, encoding, milliseconds: 0)
}

@c @implementation
public func hostcall_send_item_wait(
  _ context: OpaquePointer?, _ id: UInt64, _ data: UnsafeRawPointer?, _ size: Int, _ encoding: UInt32,
  _ timeout_milliseconds: UInt32
) -> hostcall_status {
  let milliseconds = timeout_milliseconds == .max ? Int.max : Int(timeout_milliseconds)
  return sendItem(context, id, data, size, encoding, milliseconds: milliseconds)
}

private func sendItem(
  _ context: OpaquePointer?, _ id: UInt64, _ data: UnsafeRawPointer?, _ size: Int, _ encoding: UInt32,
  milliseconds: Int
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    let encoding = try Arguments.encoding(encoding)
    try context.sendItem(id, Arguments.bytes(data, size), encoding, milliseconds: milliseconds)
  }
}

@c @implementation
public func hostcall_end_items(_ context: OpaquePointer?, _ request: UInt64) -> hostcall_status {
  answering { () throws(InterfaceError) in try Context.with(context).endItems(request) }
}

@c @implementation
public func hostcall_add_credit(_ context: OpaquePointer?, _ id: UInt64, _ items: UInt32) -> hostcall_status {
  answering { () throws(InterfaceError) in try Context.with(context).addCredit(id, items) }
}
