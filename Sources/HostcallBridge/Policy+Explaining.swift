import HostcallWire

/// What a policy says to one question, and why.
package struct PolicyAnswer: Sendable, Equatable {
  package let isAllowed: Bool
  /// The rule that allows it or, by an exception, does not; nil where none is about it.
  package let rule: String?
  /// The middle of a sentence for people.
  package let reason: String
}

/// The rules word for word. What holds for a peer is looked up in a ``PolicyForm``; this is for people who ask why, and
/// for tests.
extension Policy {
  /// Whether a user may do something with a name or pattern.
  ///
  /// - Parameter groupIDs: all groups of the user, the primary one among them.
  package func answer(_ verb: PolicyVerb, _ name: String, userID: UInt32, groupIDs: some Sequence<UInt32>)
    -> PolicyAnswer
  {
    if rules.isEmpty {
      return PolicyAnswer(isAllowed: true, rule: nil, reason: "there are no rules, so whoever can connect may")
    }
    let own = rules.filter { $0.isFor(userID: userID, groupIDs: groupIDs) }
    var exception: PolicyAnswer?
    for rule in own where rule.may.contains(verb) {
      guard let grant = rule.what.first(where: { Self.entry($0, covers: name) }) else { continue }
      guard let excepted = rule.except.first(where: { Self.entry($0, touches: name) }) else {
        return PolicyAnswer(isAllowed: true, rule: rule.name, reason: "the rule “\(rule.name)” allows \(grant)")
      }
      exception =
        exception
        ?? PolicyAnswer(
          isAllowed: false, rule: rule.name,
          reason: "the rule “\(rule.name)” allows \(grant), except \(excepted), and no other rule allows it")
    }
    if let exception { return exception }
    let reason =
      own.isEmpty
      ? "no rule is for this user or one of its groups"
      : own.count == 1
        ? "the one rule for this user, “\(own[0].name)”, does not allow it"
        : "none of the \(own.count) rules for this user allows it"
    return PolicyAnswer(isAllowed: false, rule: nil, reason: reason)
  }

  /// Whether an entry of `what` means a name, or all that a pattern means.
  static func entry(_ entry: String, covers name: String) -> Bool {
    if entry == name { return true }
    guard entry.utf8.last == UInt8(ascii: "*") else { return false }
    let prefix = entry.utf8.dropLast()
    return name.utf8.count > prefix.count && name.utf8.starts(with: prefix)
  }

  /// Whether an entry of `except` means a name, or something that a pattern means.
  static func entry(_ entry: String, touches name: String) -> Bool {
    self.entry(entry, covers: name) || (name.utf8.last == UInt8(ascii: "*") && self.entry(name, covers: entry))
  }
}

extension PolicyRule {
  func isFor(userID: UInt32, groupIDs: some Sequence<UInt32>) -> Bool {
    switch users {
    case .everybody: true
    case .these(let these): these.contains(userID) || groupIDs.contains(where: groups.contains)
    }
  }
}
