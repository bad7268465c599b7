package import HostcallBridge
package import Logging
import TOMLKit

/// What the configuration file may say, with a default for every key.
package struct Settings: Sendable, Equatable {
  package var socketPath: String?
  package var socketMode: UInt32 = 0o600
  package var shutdownGraceMilliseconds = 10_000
  /// How long a daemon that a service manager has given its sockets serves while nobody is connected; 0 for ever.
  package var idleMilliseconds = 0
  package var logLevel = Logger.Level.info
  package var logQueuedLines = 4_096
  package var logFlushMilliseconds = 1_000
  package var limits = Limits()
  package var userLimitsEntries: [UserLimitsEntry] = []
  /// The limits of users for whom others hold, by their number.
  package var limitsByUser: [UInt32: Limits] = [:]
  /// Workers that are started when they are wanted.
  package var workers: [OnDemandWorker] = []
  package var policyEntries: [PolicyEntry] = []
  /// The rules with numbers for names.
  package var policy = Policy()

  /// Reads a file; nil gives the defaults.
  static func read(_ path: String?) throws(SettingsError) -> Settings {
    guard let path else { return Settings() }
    return try Settings(text: SettingsFile.text(of: path), path: path)
  }

  /// Takes the text of a file whose name is `path`.
  package init(text: String, path: String) throws(SettingsError) {
    let file = try SettingsFile(text: text, path: path)
    defer { file.close() }
    try file.forEach { (key: String, value: any TOMLValueConvertible) throws(SettingsError) in
      try take(key, value, file)
    }
    if let problem = Self.problem(of: limits) {
      throw file.refused("limits.output-bytes-before-close", or: "limits.output-bytes-per-connection", problem)
    }
    try takeUserLimits(file)
    try takeWorkers(file)
    try takePolicy(file)
  }

  /// The defaults.
  package init() {}

  private mutating func take(_ key: String, _ value: any TOMLValueConvertible, _ file: SettingsFile)
    throws(SettingsError)
  {
    switch key {
    case "server.socket":
      guard let path = value.string, !path.isEmpty else { throw file.wrong(key, "a path in quotes") }
      socketPath = path
    case "server.socket-mode":
      guard let mode = value.string.flatMap({ UInt32($0, radix: 8) }), mode <= 0o777 else {
        throw file.wrong(key, "permissions in quotes, such as \"0660\"")
      }
      socketMode = mode
    case "server.shutdown-grace-milliseconds":
      shutdownGraceMilliseconds = try file.number(key, value, 0...3_600_000)
    case "server.idle-milliseconds": idleMilliseconds = try file.number(key, value, 0...604_800_000)
    case "log.level":
      guard let level = value.string.flatMap(Logger.Level.init(rawValue:)) else {
        throw file.wrong(key, "trace, debug, info, notice, warning, error or critical, in quotes")
      }
      logLevel = level
    case "log.queued-lines": logQueuedLines = try file.number(key, value, 1...1_000_000)
    case "log.flush-milliseconds": logFlushMilliseconds = try file.number(key, value, 0...600_000)
    default:
      guard let limit = Limits.keys.first(where: { key == "limits.\($0.name)" }) else {
        throw file.unknown(key, known: Self.knownKeys)
      }
      limits[keyPath: limit.keyPath] = try file.number(key, value, limit.range)
    }
  }

  private static let knownKeys =
    [
      "server.socket", "server.socket-mode", "server.shutdown-grace-milliseconds", "server.idle-milliseconds",
      "log.level", "log.queued-lines", "log.flush-milliseconds", "policy", userLimitsKey, workersKey,
    ] + Limits.keys.map { "limits.\($0.name)" }

  /// All keys but those of the rules, with the values that hold as a configuration writes them.
  package func values(socketPath: String) -> [(key: String, value: String)] {
    [
      ("server.socket", SettingsFile.quoted(socketPath)),
      ("server.socket-mode", "\"0\(String(socketMode, radix: 8))\""),
      ("server.shutdown-grace-milliseconds", "\(shutdownGraceMilliseconds)"),
      ("server.idle-milliseconds", "\(idleMilliseconds)"),
      ("log.level", "\"\(logLevel)\""),
      ("log.queued-lines", "\(logQueuedLines)"),
      ("log.flush-milliseconds", "\(logFlushMilliseconds)"),
    ] + Limits.keys.map { ("limits.\($0.name)", "\(limits[keyPath: $0.keyPath])") }
  }

  /// All keys with the values that hold, as a configuration file.
  package func description(socketPath: String) -> String {
    var text = ""
    var section: Substring = ""
    for (key, value) in values(socketPath: socketPath) {
      let parts = key.split(separator: ".", maxSplits: 1)
      if parts[0] != section {
        section = parts[0]
        text += "\(text.isEmpty ? "" : "\n")[\(section)]\n"
      }
      text += "\(parts[1]) = \(value)\n"
    }
    return text + userLimitsDescription + workersDescription + policyDescription
  }
}
