import HostcallConfiguration
import HostcallServer
import Logging

/// Reads the configuration again when told to, and puts its policy in force. A file that cannot be used changes nothing.
struct Reloading {
  let source: SettingsSource
  let server: HostcallServer
  let logger: Logger
  /// What the daemon was started with: what only a restart changes.
  let started: Settings
  let socketPath: String
  private var policy: Policy

  init(_ source: SettingsSource, _ server: HostcallServer, _ logger: Logger, started: Settings, socketPath: String) {
    self.source = source
    self.server = server
    self.logger = logger
    self.started = started
    self.socketPath = socketPath
    policy = started.policy
  }

  mutating func reload() async {
    guard source.file != nil else {
      return log(.warning, "nothing to reload", [("reason", "hostcalld was started without --config")])
    }
    switch await source.readElsewhere() {
    case .failure(let error):
      log(.error, "configuration not reloaded, the rules in force stay", [("error", error.description)])
    case .success(let settings):
      await server.setPolicy(settings.policy)
      log(.notice, "configuration reloaded", Self.changes(from: policy, to: settings.policy))
      policy = settings.policy
      let keys = keysThatNeedARestart(settings)
      if !keys.isEmpty {
        log(.warning, "some changes need a restart of hostcalld", [("keys", keys.joined(separator: ", "))])
      }
    }
  }

  /// Which rules came, went and are others under their name.
  static func changes(from old: Policy, to new: Policy) -> [(key: String, value: String)] {
    func byName(_ policy: Policy) -> [String: PolicyRule] {
      Dictionary(uniqueKeysWithValues: policy.rules.map { ($0.name, $0) })
    }
    let (before, after) = (byName(old), byName(new))
    let added = new.rules.map(\.name).filter { before[$0] == nil }
    let removed = old.rules.map(\.name).filter { after[$0] == nil }
    let changed = new.rules.map(\.name).filter { before[$0] != nil && before[$0] != after[$0] }
    let lists = [("added", added), ("changed", changed), ("removed", removed)].filter { !$0.1.isEmpty }
    return [("rules", "\(new.rules.count)")] + lists.map { ($0.0, $0.1.joined(separator: ", ")) }
  }

  private func keysThatNeedARestart(_ settings: Settings) -> [String] {
    let path = (try? SettingsSource.socketPath(settings)) ?? socketPath
    return zip(started.values(socketPath: socketPath), settings.values(socketPath: path))
      .filter { $0.value != $1.value }.map(\.0.key)
      + (settings.userLimitsEntries == started.userLimitsEntries ? [] : [Settings.userLimitsKey])
      + (settings.workers == started.workers ? [] : [Settings.workersKey])
  }

  private func log(_ level: Logger.Level, _ message: String, _ fields: [(key: String, value: String)]) {
    logger.log(level: level, "\(message)", metadata: JournalLogHandler.metadata(fields))
  }
}
