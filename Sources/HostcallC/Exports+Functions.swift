// The names are those of hostcall.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CHostcall
import HostcallFunctions
import HostcallWire

// The functions of hostcall.h about host functions and events. The compiler holds each against its declaration.

@c @implementation
public func hostcall_register_host_fn(
  _ context: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<hostcall_function_options>?,
  _ function: hostcall_function?, _ user_data: UnsafeMutableRawPointer?, _ release: hostcall_release_function?
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    let name = try Arguments.text(name, "the name")
    let options = try Arguments.structure(options, "HOSTCALL_FUNCTION_OPTIONS_INIT")
    guard let function else { throw .null("the function") }
    try context.lending(user_data, release) { userData throws(InterfaceError) in
      try context.register(name, options, function, userData)
    }
  }
}

@c @implementation
public func hostcall_unregister_host_fn(_ context: OpaquePointer?, _ name: UnsafePointer<CChar>?) -> hostcall_status {
  answering { () throws(InterfaceError) in
    try Context.with(context).unregister(Arguments.text(name, "the name"))
  }
}

@c @implementation
public func hostcall_host_complete(
  _ context: OpaquePointer?, _ call_id: UInt64, _ status: hostcall_status, _ data: UnsafeRawPointer?, _ size: Int
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    try Context.with(context).complete(call_id, status, Arguments.bytes(data, size), .raw, [:])
  }
}

@c @implementation
public func hostcall_host_complete_with(
  _ context: OpaquePointer?, _ call_id: UInt64, _ completion: UnsafePointer<hostcall_completion>?
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    guard let completion = try Arguments.structure(completion, "HOSTCALL_COMPLETION_INIT") else {
      throw .null("the completion")
    }
    try context.complete(
      call_id, completion.status, Arguments.bytes(completion.data, completion.size),
      Arguments.encoding(completion.encoding), Arguments.metadata(completion.metadata, completion.metadata_count))
  }
}

@c @implementation
public func hostcall_host_complete_buffer(
  _ context: OpaquePointer?, _ call_id: UInt64, _ status: hostcall_status,
  _ buffer: UnsafeMutablePointer<hostcall_buffer>?
) -> hostcall_status {
  let answer = answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    guard let buffer else { throw .null("the buffer") }
    guard buffer.pointee.handle == 0 || OwnedMemory.has(buffer.pointee.handle) else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "the buffer has been freed or given away")
    }
    try context.complete(call_id, status, Arguments.bytes(buffer.pointee.data, buffer.pointee.size), .raw, [:])
  }
  if answer != HOSTCALL_INVALID_ARGUMENT, answer != HOSTCALL_NULL_POINTER { hostcall_buffer_free(buffer) }
  return answer
}

@c @implementation
public func hostcall_call_state(_ context: OpaquePointer?, _ call_id: UInt64) -> hostcall_status {
  answering { () throws(InterfaceError) in try Context.with(context).state(of: call_id) }
}

@c @implementation
public func hostcall_subscribe(
  _ context: OpaquePointer?, _ pattern: UnsafePointer<CChar>?, _ on_event: hostcall_event_function?,
  _ user_data: UnsafeMutableRawPointer?, _ release: hostcall_release_function?,
  _ subscription: UnsafeMutablePointer<UInt64>?
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    let pattern = try Arguments.text(pattern, "the pattern")
    guard let on_event else { throw .null("on_event") }
    try context.lending(user_data, release) { userData throws(InterfaceError) in
      try context.subscribe(pattern, on_event, userData, told: subscription)
    }
  }
}

@c @implementation
public func hostcall_unsubscribe(_ context: OpaquePointer?, _ subscription: UInt64) -> hostcall_status {
  answering { () throws(InterfaceError) in try Context.with(context).unsubscribe(subscription) }
}

@c @implementation
public func hostcall_publish(
  _ context: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<hostcall_publish_options>?,
  _ data: UnsafeRawPointer?, _ size: Int, _ subscribers: UnsafeMutablePointer<UInt32>?
) -> hostcall_status {
  answering { () throws(InterfaceError) in
    let context = try Context.with(context)
    let options = try Arguments.structure(options, "HOSTCALL_PUBLISH_OPTIONS_INIT")
    let name = try Arguments.text(name, "the name")
    let encoding = try Arguments.encoding(options?.encoding ?? 0)
    let metadata = try Arguments.metadata(options?.metadata, options?.metadata_count ?? 0)
    let payload = try Arguments.bytes(data, size)
    let parameters = try translating { () throws(HostcallError) in
      try PublicationParameters(name: name, payload, encoding: encoding, metadata: metadata)
    }
    let count = try context.publish(parameters, wantsAnswer: subscribers != nil)
    subscribers?.pointee = UInt32(clamping: count)
  }
}

extension Context {
  /// Lends a pointer to what `use` makes; where that comes to nothing, it stays the caller's.
  fileprivate func lending(
    _ pointer: UnsafeMutableRawPointer?, _ release: hostcall_release_function?,
    _ use: (UserData) throws(InterfaceError) -> Void
  ) throws(InterfaceError) {
    let userData = UserData(pointer, release, dispatcher)
    do throws(InterfaceError) {
      try use(userData)
    } catch {
      userData.giveBack()
      throw error
    }
  }
}
