import Glibc
import HostcallLoop
package import HostcallWire
package import Logging

/// Where settings come from: a file, and arguments, which take precedence.
package struct SettingsSource: Sendable {
  /// The configuration file, nil for defaults alone.
  package let file: String?
  private let socketPath: String?
  private let logLevel: Logger.Level?

  package init(file: String?, socketPath: String?, logLevel: Logger.Level?) {
    self.file = file
    self.socketPath = socketPath
    self.logLevel = logLevel
  }

  /// Reads them, and looks up the users and groups that they name. Blocks for as long as that takes.
  package func read() throws(SettingsError) -> Settings {
    var settings = try Settings.read(file)
    if let socketPath { settings.socketPath = socketPath }
    if let logLevel { settings.logLevel = logLevel }
    return settings
  }

  /// The same on a thread of its own, so that nothing else waits.
  package func readElsewhere() async -> Result<Settings, SettingsError> {
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
  package static func socketPath(_ settings: Settings) throws(SocketLocationError) -> String {
    if let path = settings.socketPath { return path }
    return try SocketLocation.path(userID: geteuid()) { name in getenv(name).map { String(cString: $0) } }
  }
}
