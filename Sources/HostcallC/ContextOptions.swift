import CHostcall
import Glibc
import HostcallClient
import HostcallFunctions
import HostcallLoop
import HostcallServer

/// `hostcall_context_options`, checked.
struct ContextOptions {
  let client: HostcallClient.Configuration
  let socketPath: String?
  /// Nil where callbacks are polled.
  let threadLimit: Int?

  private static let defaultThreadLimit = 256

  init(_ pointer: UnsafePointer<hostcall_context_options>?) throws(InterfaceError) {
    let options = try Arguments.structure(pointer, "HOSTCALL_CONTEXT_OPTIONS_INIT")
    let flags = try Arguments.flags(
      options?.flags ?? 0, allowed: [HOSTCALL_POLLED, HOSTCALL_NO_RECONNECT], "hostcall_context_options")
    socketPath = try Arguments.optionalText(options?.socket_path, "socket_path")
    let name = try Arguments.optionalText(options?.client_name, "client_name")
    var client = HostcallClient.Configuration(
      socketPath: socketPath, clientName: name,
      reconnect: flags.contains(HOSTCALL_NO_RECONNECT)
        ? .never : .whenRegistered(initialDelay: .milliseconds(10), maximumDelay: .seconds(5)))
    if let milliseconds = options?.connect_timeout_milliseconds, milliseconds > 0 {
      client.connectTimeout = .milliseconds(Int64(milliseconds))
    }
    self.client = client
    let limit = Int(options?.thread_limit ?? 0)
    threadLimit = flags.contains(HOSTCALL_POLLED) ? nil : limit == 0 ? Self.defaultThreadLimit : limit
  }

  /// Connects, and waits until it has.
  static func connect(
    _ configuration: HostcallClient.Configuration, dial: Dial? = nil
  ) throws(InterfaceError) -> HostcallClient {
    let answer = HeapCondition<Result<HostcallClient, HostcallError>?>(nil)
    BlockedSignals.whileBlocked {
      HostcallClient.connect(configuration, dial: dial) { result in
        answer.change { answer in
          answer = result
          return true
        }
      }
    }
    let result = answer.wait { $0.take() }
    return try translating { () throws(HostcallError) in try result.get() }
  }

  /// Opens a bridge, and waits until others can connect, where they are to.
  static func open(_ socketPath: String?) throws(InterfaceError) -> HostcallServer {
    let server: HostcallServer
    do {
      server = try BlockedSignals.whileBlocked { try HostcallServer(.init(socketPath: socketPath)) }
    } catch {
      throw InterfaceError(HOSTCALL_CANNOT_CONNECT, "cannot open a bridge: \(error)")
    }
    // Nil until it is told; then what is in the way, if anything is.
    let answer = HeapCondition<ServerError??>(nil)
    server.start { error in
      answer.change { answer in
        answer = .some(error)
        return true
      }
    }
    let error: ServerError? = answer.wait { answer in answer.take() }
    if let error { throw InterfaceError(HOSTCALL_CANNOT_CONNECT, "cannot open a bridge: \(error)") }
    return server
  }
}

extension Context {
  func checkPolled() throws(InterfaceError) {
    guard dispatcher.isPolled else {
      throw InterfaceError(HOSTCALL_INVALID_ARGUMENT, "threads run this context's callbacks (see HOSTCALL_POLLED)")
    }
  }

  /// Whether everything that ran was completed within the time.
  func shutDown(milliseconds: Int) -> Bool {
    let done = HeapCondition(false)
    let dispatcher = dispatcher
    client.shutDown { _ in
      done.change { done in
        done = true
        return true
      }
      dispatcher.wake()
    }
    return dispatcher.wait(done, milliseconds: milliseconds) { $0 }
  }
}
