import HostcallBridge
import HostcallLoop
import TOMLKit

/// Limits that hold for some users otherwise than for others, as the configuration writes them.
package struct UserLimitsEntry: Sendable, Equatable {
  var users: [PolicyEntry.Account] = []
  /// By their names in the configuration, in order of ``Limits/keys``.
  var values: [(name: String, value: Int)] = []

  package static func == (one: UserLimitsEntry, other: UserLimitsEntry) -> Bool {
    one.users == other.users && one.values.elementsEqual(other.values) { $0 == $1 }
  }
}

/// `[[user-limits]]`: limits of a connection or a user that are others for some users.
extension Settings {
  package static let userLimitsKey = "user-limits"

  /// Reads them, on top of the limits that hold for all, and looks up the users that they name.
  mutating func takeUserLimits(_ file: SettingsFile) throws(SettingsError) {
    let tables = try file.tables(Self.userLimitsKey, "limits for users, each under [[\(Self.userLimitsKey)]]")
    for (index, table) in tables.enumerated() {
      let place = "\(Self.userLimitsKey)[\(index)]"
      for key in table.keys where key != "users" && !Self.userLimits.contains(where: { $0.name == key }) {
        let isOfAll = Limits.keys.contains { $0.name == key }
        throw file.unknown(
          "\(place).\(key)",
          advice: isOfAll
            ? "it holds for all users together, in [limits]" : "hostcalld --check-config lists all limits")
      }
      var entry = UserLimitsEntry()
      var own = limits
      for key in Self.userLimits {
        guard let value = table[key.name] else { continue }
        own[keyPath: key.keyPath] = try file.number("\(place).\(key.name)", value, key.range)
        entry.values.append((key.name, own[keyPath: key.keyPath]))
      }
      if let problem = Self.problem(of: own) {
        throw file.refused("\(place).output-bytes-before-close", or: place, problem)
      }
      guard let users = table["users"] else {
        throw file.refused(place, "\(Self.userLimitsKey) must say for which users, such as users = [\"alice\", 1001]")
      }
      entry.users = try Self.accounts(users, file, "\(place).users", "users = [\"alice\", 1001]")
      let numbers = try Self.numbers(entry.users, "user", file, "\(place).users") { name throws(LoopError) in
        try UserAccounts.userID(named: name)
      }
      for userID in numbers.sorted() {
        guard limitsByUser.updateValue(own, forKey: userID) == nil else {
          throw file.refused("\(place).users", "user \(userID) has \(Self.userLimitsKey) twice")
        }
      }
      userLimitsEntries.append(entry)
    }
  }

  /// Those that can be set for some users.
  private static let userLimits = Limits.keys.filter { $0.scope != .daemon }

  /// Why limits make no sense together, nil where they do.
  static func problem(of limits: Limits) -> String? {
    guard limits.outputBytesBeforeClose <= limits.outputBytesPerConnection else { return nil }
    return "output-bytes-before-close is \(limits.outputBytesBeforeClose), not above output-bytes-per-connection, "
      + "\(limits.outputBytesPerConnection)"
  }

  /// As they stand in a configuration.
  var userLimitsDescription: String {
    userLimitsEntries.map { entry in
      let lines = entry.values.map { "\($0.name) = \($0.value)" }
      let users = "users = [\(entry.users.map(\.text).joined(separator: ", "))]"
      return (["", "[[\(Self.userLimitsKey)]]", users] + lines).joined(separator: "\n") + "\n"
    }.joined()
  }
}
