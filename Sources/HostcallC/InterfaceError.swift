import CHostcall
import Glibc
import HostcallFunctions
import HostcallWire

/// What a function of the C interface did not do: its status, and a sentence for people.
struct InterfaceError: Error {
  let status: hostcall_status
  let message: String

  init(_ status: Int, _ message: String) {
    self.status = hostcall_status(status)
    self.message = message
  }

  init(_ error: HostcallError) {
    status = Self.status(of: error)
    message = error.description
  }

  /// The number by which C knows an error. What this library finds lies above what the protocol has.
  static func status(of error: HostcallError) -> hostcall_status {
    switch error.code {
    case .cannotConnect: hostcall_status(HOSTCALL_CANNOT_CONNECT)
    case .connectionLost: hostcall_status(HOSTCALL_CONNECTION_LOST)
    case .closed: hostcall_status(HOSTCALL_CLOSED)
    case .invalidArgument: hostcall_status(HOSTCALL_INVALID_ARGUMENT)
    default: hostcall_status(error.status?.rawValue ?? UInt8(HOSTCALL_UNKNOWN))
    }
  }

  static func null(_ what: String) -> InterfaceError {
    InterfaceError(HOSTCALL_NULL_POINTER, "\(what) is a null pointer")
  }

  static let closed = InterfaceError(HOSTCALL_CLOSED, "this context is closed")
}

/// The text of the last error of each thread.
enum LastError {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let code = pthread_key_create(&key) { free($0) }
    precondition(code == 0, "pthread_key_create failed with \(code)")
    return key
  }()

  /// Empty text, for threads without an error. It is never freed.
  private nonisolated(unsafe) static let none: UnsafePointer<CChar> = {
    let none = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
    none.initialize(to: 0)
    return UnsafePointer(none)
  }()

  static var text: UnsafePointer<CChar> {
    guard let text = pthread_getspecific(key) else { return none }
    return UnsafePointer(text.assumingMemoryBound(to: CChar.self))
  }

  static func set(_ message: String) {
    free(pthread_getspecific(key))
    pthread_setspecific(key, strdup(message))
  }
}

/// Runs what a function of the interface does; what it throws becomes its status, and the thread's last error.
func answering(_ body: () throws(InterfaceError) -> Void) -> hostcall_status {
  do throws(InterfaceError) {
    try body()
    return hostcall_status(HOSTCALL_OK)
  } catch {
    LastError.set(error.message)
    return error.status
  }
}

/// Runs what throws the errors of calls.
func translating<Result: ~Copyable>(_ body: () throws(HostcallError) -> Result) throws(InterfaceError) -> Result {
  do throws(HostcallError) {
    return try body()
  } catch {
    throw InterfaceError(error)
  }
}
