import Glibc
import HostcallConfiguration
import HostcallLoop
import HostcallServer
import Logging

/// Restart without loss, with the help of a service manager: this process gives it all that it has, packed as one
/// descriptor, and ends; the next one gets the descriptor with its sockets.
struct Restart: Sendable {
  /// What the service manager calls the descriptor.
  static let keptName = "hostcall-state"

  /// What this process ends with once it has handed over: the service manager starts another one after it, whoever has sent
  /// the signal (EX_TEMPFAIL of sysexits.h).
  static let exitStatus: Int32 = 75

  let notification: ServiceNotification?
  let writer: LineWriter
  let settings: Settings

  /// Gives the service manager what is to be taken over, and ends this process at once: nothing of it may touch a
  /// connection any more.
  ///
  /// Errors: no service manager is there, or it does not take the descriptor.
  func leave(_ parcel: Int32) throws(LoopError) -> Never {
    guard let notification else {
      throw LoopError(
        attempted: "hand over to another process", code: ENOTCONN,
        reason: "no service manager is there to keep the connections", advice: "SIGUSR2 is for one, such as systemd")
    }
    do throws(LoopError) {
      try notification.keep(parcel, name: Self.keptName)
    } catch {
      // It may take it yet, and the next process must not take up what this one goes on with.
      notification.letGo(of: Self.keptName)
      throw error
    }
    _ = writer.finish(withinMilliseconds: settings.logFlushMilliseconds)
    _exit(Self.exitStatus)
  }

  /// Opens what an earlier process has left, nil where there is nothing, or nothing that can be read.
  static func takeOver(_ kept: [Int32], _ notification: ServiceNotification?, _ logger: Logger) -> HandedOver? {
    guard let newest = kept.last else { return nil }
    for descriptor in kept.dropLast() { close(descriptor) }
    // First of all: were it still kept, who closes a connection later would not be seen to, and a process that a state
    // makes stumble would be given it again.
    notification?.letGo(of: keptName)
    do throws(ServerError) {
      return try HandedOver(unpacking: newest)
    } catch {
      Daemon.log(HandedOver.notTakenOver(error.description), to: logger)
      return nil
    }
  }
}
