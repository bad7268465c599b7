import Glibc
import HostcallFunctions
import HostcallLoop
import HostcallWire

// The errors of a connection, in words.
extension ClientConnection {
  /// The operating system refuses the connection.
  nonisolated func cannotConnect(_ error: LoopError) -> HostcallError {
    switch error.code {
    case ENOENT, ECONNREFUSED:
      cannotConnect(error.reason, advice: "start it with: hostcalld, or set HOSTCALL_SOCKET")
    case EACCES, EPERM: cannotConnect(error.reason, advice: "ask for access to the socket, or set HOSTCALL_SOCKET")
    default: cannotConnect(error.reason, advice: error.advice)
    }
  }

  /// The daemon is not there, or does not take the connection.
  nonisolated func cannotConnect(
    _ reason: String, advice: String? = nil, status: Status? = nil, origin: HostcallError.Origin = .client
  ) -> HostcallError {
    let advice = advice.map { " (\($0))" } ?? ""
    return HostcallError(
      .cannotConnect, status: status, origin: origin, message: "cannot reach hostcalld at \(path): \(reason)\(advice)")
  }

  /// The connection was there and is not any more; before WELCOME that is one that could not be made.
  func connectionEnded(
    _ reason: String, status: Status? = nil, origin: HostcallError.Origin = .client
  ) -> HostcallError {
    if case .connecting = phase {
      return cannotConnect(reason, status: status, origin: origin)
    }
    return HostcallError(
      .connectionLost, status: status, origin: origin,
      message: "the connection to hostcalld at \(path) was lost: \(reason)")
  }
}
