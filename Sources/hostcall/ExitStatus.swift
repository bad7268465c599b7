import HostcallClient
import HostcallWire

/// What `hostcall` leaves with, for scripts.
struct ExitStatus: RawRepresentable, Equatable {
  let rawValue: Int32

  /// The function was run and failed: its worker chose the status.
  static let functionFailed = ExitStatus(rawValue: 1)
  /// The user that was asked about may not.
  static let denied = ExitStatus(rawValue: 1)
  /// The daemon could not be reached, or the connection was lost.
  static let noDaemon = ExitStatus(rawValue: 2)
  /// There was no outcome in time.
  static let timeout = ExitStatus(rawValue: 3)
  /// Nobody has the function.
  static let notFound = ExitStatus(rawValue: 4)
  /// The daemon answered with any other status.
  static let refused = ExitStatus(rawValue: 5)
  /// Arguments that cannot be; `EX_USAGE`, which ArgumentParser uses too.
  static let usage = ExitStatus(rawValue: 64)
  /// What was to be sent cannot be read; `EX_NOINPUT`.
  static let noInput = ExitStatus(rawValue: 66)
  /// What came cannot be written; `EX_IOERR`.
  static let outputFailed = ExitStatus(rawValue: 74)

  /// What a shell shows for a process that a signal ended.
  static func signal(_ number: Int32) -> ExitStatus {
    ExitStatus(rawValue: 128 + number)
  }
}

extension HostcallError {
  /// The exit status that tells this error from others.
  var exitStatus: ExitStatus {
    switch code {
    case .cannotConnect, .connectionLost, .closed: .noDaemon
    case .invalidArgument: .usage
    default:
      switch status {
      case _ where origin == .worker: .functionFailed
      case .timeout: .timeout
      case .notFound: .notFound
      default: .refused
      }
    }
  }
}
