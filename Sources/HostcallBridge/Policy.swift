import HostcallWire

/// What a peer may want to do, as far as policy decides about it.
public enum PolicyVerb: String, Sendable, CaseIterable {
  /// CALL, by name or by a bound handle, and BIND.
  case call
  /// REGISTER.
  case register
  /// PUBLISH.
  case publish
  /// SUBSCRIBE.
  case subscribe

  /// Its bit in a set of verbs.
  var bit: UInt8 {
    switch self {
    case .call: 1
    case .register: 2
    case .publish: 4
    case .subscribe: 8
    }
  }

  /// As the end of a sentence about a name: `call it`.
  var ofIt: String { self == .subscribe ? "subscribe to it" : "\(rawValue) it" }
}

/// One rule of a ``Policy``: it lets some users do some things with some names.
///
/// It is for a peer whose user is among ``users``, or one of whose groups is among ``groups``.
public struct PolicyRule: Sendable, Equatable {
  /// The users that a rule is for.
  public enum Users: Sendable, Equatable {
    /// Whoever can connect.
    case everybody
    /// These user ids.
    case these(Set<UInt32>)
  }

  /// What people know it by; no two rules of a policy have the same.
  public var name: String
  /// The users that it is for.
  public var users: Users
  /// The group ids that it is for, the peer's own group and its supplementary ones.
  public var groups: Set<UInt32>
  /// What it allows.
  public var may: Set<PolicyVerb>
  /// The names and patterns that it is about (protocol section 2).
  public var what: [String]
  /// Names and patterns among these that it is not about.
  public var except: [String]

  /// A rule; ``Policy/init(rules:)`` says whether it makes sense.
  public init(
    _ name: String, users: Users = .these([]), groups: Set<UInt32> = [], may: Set<PolicyVerb>, what: [String],
    except: [String] = []
  ) {
    self.name = name
    self.users = users
    self.groups = groups
    self.may = may
    self.what = what
    self.except = except
  }
}

/// Who may call, register, publish and subscribe to what.
///
/// Without rules, whoever can connect may do all. With at least one rule, only what some rule allows; their order means
/// nothing. A pattern may be registered or subscribed to where one rule allows all of it.
///
/// The functions and events of the daemon's own, `hostcall.*`, are names like any other. Peers in the daemon's own
/// process are not subject to policy.
public struct Policy: Sendable, Equatable {
  /// Rules that a policy may have.
  public static let mostRules = 1_000
  /// Names and patterns that the rules of a policy may have in all, exceptions among them.
  public static let mostNames = 10_000
  /// Characters that the name of a rule may have.
  public static let longestRuleName = 100

  /// The rules, each of which makes sense.
  public let rules: [PolicyRule]

  /// No rules: everything is allowed.
  public init() {
    rules = []
  }

  /// A policy of these rules.
  ///
  /// - Throws: ``PolicyError`` where a rule is for nobody or about nothing, a name cannot be, or there are too many.
  public init(rules: [PolicyRule]) throws(PolicyError) {
    guard rules.count <= Self.mostRules else {
      throw PolicyError(
        rule: Self.mostRules, key: .name, "there are \(rules.count) rules, \(Self.mostRules) are the most")
    }
    var names: Set<String> = []
    var count = 0
    for (index, rule) in rules.enumerated() {
      try Self.check(rule, index, known: &names)
      count += rule.what.count + rule.except.count
      guard count <= Self.mostNames else {
        throw PolicyError(
          rule: index, key: .what,
          "with the rule “\(rule.name)” the policy has \(count) names and patterns, \(Self.mostNames) are the most")
      }
    }
    self.rules = rules
  }

  private static func check(_ rule: PolicyRule, _ index: Int, known: inout Set<String>) throws(PolicyError) {
    guard !rule.name.isEmpty, rule.name.count <= longestRuleName, !rule.name.unicodeScalars.contains(where: isControl)
    else {
      throw PolicyError(
        rule: index, key: .name,
        "a rule needs a name of 1 to \(longestRuleName) characters on one line, for people to know it by")
    }
    guard known.insert(rule.name).inserted else {
      throw PolicyError(rule: index, key: .name, "two rules have the name “\(rule.name)”; give one of them another")
    }
    guard rule.users != .these([]) || !rule.groups.isEmpty else {
      throw PolicyError(rule: index, key: .users, "the rule “\(rule.name)” is for nobody: it needs users or groups")
    }
    guard !rule.may.isEmpty else {
      throw PolicyError(
        rule: index, key: .may,
        "the rule “\(rule.name)” allows nothing: may needs call, register, publish or subscribe")
    }
    guard !rule.what.isEmpty else {
      throw PolicyError(
        rule: index, key: .what, "the rule “\(rule.name)” is about nothing: what needs a name or pattern")
    }
    for (key, texts) in [(PolicyError.Key.what, rule.what), (.except, rule.except)] {
      for text in texts where !NameRules.isName(text) && !NameRules.isPattern(text) {
        throw PolicyError(
          rule: index, key: key,
          "the rule “\(rule.name)” has “\(text)” in \(key.rawValue), which is no name or pattern (such as token.fetch, "
            + "token.* or *)")
      }
    }
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.generalCategory == .control || scalar.properties.isWhitespace && scalar != " "
  }
}

/// Why rules make no policy: says which rule, what is wrong with it, and what would be right.
public struct PolicyError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The part of a rule that is wrong.
  package enum Key: String, Sendable {
    case name
    case users
    case may
    case what
    case except
  }

  /// The place of the rule among all.
  package let rule: Int
  package let key: Key
  /// A sentence for people.
  public let description: String

  init(rule: Int, key: Key, _ description: String) {
    self.rule = rule
    self.key = key
    self.description = description
  }
}
