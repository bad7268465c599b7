/// What `hostcall.can` is asked: whether a user may do something (protocol section 7).
package struct PermissionQuestion: Codable, Sendable, Equatable {
  package var userID: UInt32
  /// All groups of the user, the primary one among them.
  package var groupIDs: [UInt32]
  /// `call`, `register`, `publish` or `subscribe`.
  package var verb: String
  /// A name or, to register or subscribe to, a pattern.
  package var name: String

  package init(userID: UInt32, groupIDs: [UInt32], verb: String, name: String) {
    self.userID = userID
    self.groupIDs = groupIDs
    self.verb = verb
    self.name = name
  }
}

/// What `hostcall.can` answers.
package struct PermissionReport: Codable, Sendable, Equatable {
  package var allowed: Bool
  /// The rule that allows it or, by an exception, does not; nil where no rule is about it.
  package var rule: String?
  /// The middle of a sentence for people.
  package var reason: String

  package init(allowed: Bool, rule: String?, reason: String) {
    self.allowed = allowed
    self.rule = rule
    self.reason = reason
  }
}
