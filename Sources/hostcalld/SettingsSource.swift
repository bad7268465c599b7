import Glibc
import HostcallLoop
import HostcallWire
import Logging

/// Where settings come from: a file, and arguments, which take precedence.
struct SettingsSource: Sendable {
  /// The configuration file, nil for defaults alone.
  let file: String?
  let socketPath: String?
  let logLevel: Logger.Level?

  /// Reads them, and looks up the users and groups that they name. Blocks for as long as that takes.
  func read() throws(SettingsError) -> Settings {
    var settings = try Settings.read(file)
    if let socketPath { settings.socketPath = socketPath }
    if let logLevel { settings.logLevel = logLevel }
    return settings
  }

  /// The same on a thread of its own, so that nothing else waits.
  func readElsewhere() async -> Result<Settings, SettingsError> {
    await withCheckedContinuation { continuation in
      do throws(LoopError) {
        try SystemThread(named: "configuration") {
          continuation.resume(returning: Result { () throws(SettingsError) in try read() })
        }.detach()
      } catch {
        continuation.resume(returning: .failure(SettingsError(error.description)))
      }
    }
  }

  /// Where to listen: what the settings say, else the usual place.
  static func socketPath(_ settings: Settings) throws(SocketLocationError) -> String {
    if let path = settings.socketPath { return path }
    return try SocketLocation.path(userID: geteuid()) { name in getenv(name).map { String(cString: $0) } }
  }
}
