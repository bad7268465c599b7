import HostcallBridge
import HostcallLoop
import TOMLKit

/// A rule as the configuration writes it: users and groups by name or number.
package struct PolicyEntry: Sendable, Equatable {
  /// A user or group.
  enum Account: Equatable {
    case name(String)
    case number(UInt32)

    /// As it stands in a configuration.
    var text: String {
      switch self {
      case .name(let name): SettingsFile.quoted(name)
      case .number(let number): "\(number)"
      }
    }
  }

  var users: [Account] = []
  var groups: [Account] = []
  var rule = PolicyRule("", may: [], what: [])
}

/// `[[policy]]`: who may do what (HostcallBridge's `Policy`).
extension Settings {
  static let policyKeys = ["name", "users", "groups", "may", "what", "except"]

  /// Reads the rules, and looks up the users and groups that they name. That may take its time.
  mutating func takePolicy(_ file: SettingsFile) throws(SettingsError) {
    for (index, table) in try file.tables("policy", "rules, each under [[policy]]").enumerated() {
      var entry = PolicyEntry()
      for key in table.keys {
        guard let value = table[key] else { continue }
        try Self.take(key, value, into: &entry, file, "policy[\(index)].\(key)")
      }
      policyEntries.append(entry)
    }
    do throws(PolicyError) {
      policy = try Policy(rules: policyEntries.map(\.rule))
    } catch {
      throw file.refused("policy[\(error.rule)].\(error.key.rawValue)", or: "policy[\(error.rule)]", error.description)
    }
  }

  private static func take(
    _ key: String, _ value: any TOMLValueConvertible, into entry: inout PolicyEntry, _ file: SettingsFile,
    _ fullKey: String
  ) throws(SettingsError) {
    switch key {
    case "name":
      guard let name = value.string else { throw file.wrong(fullKey, "text in quotes, for people to know the rule by") }
      entry.rule.name = name
    case "users":
      entry.users = try accounts(value, file, fullKey, "users = [\"www-data\", 1001] or [\"*\"]")
      if entry.users.contains(.name("*")) {
        entry.rule.users = .everybody
      } else {
        entry.rule.users = .these(
          try numbers(entry.users, "user", file, fullKey) { name throws(LoopError) in
            try UserAccounts.userID(named: name)
          })
      }
    case "groups":
      entry.groups = try accounts(value, file, fullKey, "groups = [\"staff\", 50]")
      entry.rule.groups = try numbers(entry.groups, "group", file, fullKey) { name throws(LoopError) in
        try UserAccounts.groupID(named: name)
      }
    case "may":
      for verb in try texts(value, file, fullKey, "may = [\"call\"]") {
        guard let verb = PolicyVerb(rawValue: verb) else {
          throw file.wrong(fullKey, "a list of call, register, publish and subscribe, not “\(verb)”")
        }
        entry.rule.may.insert(verb)
      }
    case "what": entry.rule.what = try texts(value, file, fullKey, "what = [\"token.*\", \"hostcall.echo\"]")
    case "except": entry.rule.except = try texts(value, file, fullKey, "except = [\"token.admin.*\"]")
    default: throw file.unknown(fullKey, advice: "a rule has \(policyKeys.joined(separator: ", "))")
    }
  }

  static func texts(
    _ value: any TOMLValueConvertible, _ file: SettingsFile, _ key: String, _ example: String
  ) throws(SettingsError) -> [String] {
    var texts: [String] = []
    guard let array = value.array else { throw file.wrong(key, "a list of texts in quotes, such as \(example)") }
    for element in array {
      guard let text = element.string else { throw file.wrong(key, "a list of texts in quotes, such as \(example)") }
      texts.append(text)
    }
    return texts
  }

  static func accounts(
    _ value: any TOMLValueConvertible, _ file: SettingsFile, _ key: String, _ example: String
  ) throws(SettingsError) -> [PolicyEntry.Account] {
    var accounts: [PolicyEntry.Account] = []
    let wrong = file.wrong(key, "a list of names in quotes and numbers up to 4294967294, such as \(example)")
    guard let array = value.array else { throw wrong }
    for element in array {
      if let name = element.string {
        accounts.append(.name(name))
      } else if element.type == .int, let number = element.int.flatMap(UInt32.init(exactly:)), number != .max {
        accounts.append(.number(number))
      } else {
        throw wrong
      }
    }
    return accounts
  }

  static func numbers(
    _ accounts: [PolicyEntry.Account], _ kind: String, _ file: SettingsFile, _ key: String,
    _ lookUp: (String) throws(LoopError) -> UInt32?
  ) throws(SettingsError) -> Set<UInt32> {
    var numbers: Set<UInt32> = []
    for account in accounts {
      switch account {
      case .number(let number): numbers.insert(number)
      case .name(let name):
        let found: UInt32?
        do throws(LoopError) {
          found = try lookUp(name)
        } catch {
          throw file.refused(key, error.description)
        }
        guard let found else {
          throw file.refused(key, "there is no \(kind) called “\(name)” here (a number needs no account)")
        }
        numbers.insert(found)
      }
    }
    return numbers
  }

  /// The rules as they stand in a configuration.
  var policyDescription: String {
    policyEntries.map { entry in
      func list(_ texts: [String]) -> String { "[\(texts.joined(separator: ", "))]" }
      var lines = ["", "[[policy]]", "name = \(SettingsFile.quoted(entry.rule.name))"]
      if !entry.users.isEmpty { lines.append("users = \(list(entry.users.map(\.text)))") }
      if !entry.groups.isEmpty { lines.append("groups = \(list(entry.groups.map(\.text)))") }
      let may = PolicyVerb.allCases.filter(entry.rule.may.contains).map(\.rawValue)
      lines.append("may = \(list(may.map(SettingsFile.quoted)))")
      lines.append("what = \(list(entry.rule.what.map(SettingsFile.quoted)))")
      if !entry.rule.except.isEmpty { lines.append("except = \(list(entry.rule.except.map(SettingsFile.quoted)))") }
      return lines.joined(separator: "\n") + "\n"
    }.joined()
  }
}
