import HostcallTestSupport
import HostcallWire
import Testing

@testable import HostcallBridge

/// What rules mean, word for word and in the form that is looked up.
@Suite struct PolicyTests {
  private static func rule(
    _ name: String = "rule", may: Set<PolicyVerb> = [.call], what: [String], except: [String] = []
  ) -> PolicyRule {
    PolicyRule(name, users: .everybody, may: may, what: what, except: except)
  }

  /// What both say; they have to say the same.
  private func allows(
    _ policy: Policy, _ verb: PolicyVerb, _ name: String, userID: UInt32 = 1, groupID: UInt32 = 1,
    groupIDs: [UInt32] = [], sourceLocation: SourceLocation = #_sourceLocation
  ) -> Bool {
    var table = PolicyTable(policy)
    let form = table.retainForm(for: PeerIdentity(userID: userID, groupID: groupID, groupIDs: groupIDs, processID: 1))
    let found = Array(name.utf8).withUnsafeBytes { table.permits(verb, $0, form: form) }
    let answer = policy.answer(verb, name, userID: userID, groupIDs: [groupID] + groupIDs)
    #expect(found == answer.isAllowed, "\(name): \(answer)", sourceLocation: sourceLocation)
    return found
  }

  @Test func withoutRulesEverythingIsAllowed() {
    for verb in PolicyVerb.allCases {
      for name in ["a", "*", "hostcall.stats"] { #expect(allows(Policy(), verb, name)) }
    }
    #expect(Policy().answer(.call, "a", userID: 1, groupIDs: []).reason.contains("there are no rules"))
  }

  @Test func withARuleOnlyWhatItAllowsIs() throws {
    let policy = try Policy(rules: [Self.rule(what: ["token.fetch"])])
    #expect(allows(policy, .call, "token.fetch"))
    for name in ["token", "token.fetc", "token.fetch.x", "token.fetchx", "a", "hostcall.echo", "*", "token.*"] {
      #expect(!allows(policy, .call, name))
    }
    for verb in PolicyVerb.allCases where verb != .call { #expect(!allows(policy, verb, "token.fetch")) }
  }

  @Test(
    arguments: [
      ("token.*", "token.fetch", true), ("token.*", "token.a.b", true), ("token.*", "token", false),
      ("token.*", "tokens.a", false), ("token.*", "token.*", true), ("token.*", "token.a.*", true),
      ("token.*", "*", false), ("*", "*", true), ("*", "hostcall.stats", true), ("*", "a", true),
      ("token.a.*", "token.*", false), ("token.a", "token.*", false), ("a", "a.*", false), ("a.*", "a", false),
    ])
  func aPatternMeansWhatTheProtocolSays(_ entry: String, _ name: String, _ isAllowed: Bool) throws {
    #expect(allows(try Policy(rules: [Self.rule(what: [entry])]), .call, name) == isAllowed)
  }

  @Test(
    arguments: [
      ("token.fetch", true), ("token.admin", true), ("token.admin.x", false), ("token.admin.x.y", false),
      ("token.admin.*", false), ("token.*", false), ("token.admins.*", true), ("token.secret", false),
      ("token.secret.more", true), ("token.admin.x.*", false),
    ])
  func anExceptionIsTakenAway(_ name: String, _ isAllowed: Bool) throws {
    let policy = try Policy(rules: [Self.rule(what: ["token.*"], except: ["token.admin.*", "token.secret"])])
    #expect(allows(policy, .call, name) == isAllowed)
  }

  @Test func anExceptionIsOfItsRuleAloneAndOrderMeansNothing() throws {
    let most = Self.rule("most", what: ["*"], except: ["token.*"])
    let rest = Self.rule("rest", what: ["token.admin.*"])
    for rules in [[most, rest], [rest, most]] {
      let policy = try Policy(rules: rules)
      #expect(allows(policy, .call, "a") && allows(policy, .call, "token.admin.x"))
      #expect(!allows(policy, .call, "token.fetch") && !allows(policy, .call, "*"))
      #expect(allows(policy, .call, "token.admin.*"))
    }
  }

  @Test func aRuleIsForItsUsersAndForEveryGroupOfAPeer() throws {
    let policy = try Policy(rules: [
      PolicyRule("some", users: .these([33]), groups: [50], may: [.call], what: ["a"])
    ])
    #expect(allows(policy, .call, "a", userID: 33))
    #expect(allows(policy, .call, "a", userID: 7, groupID: 50))
    #expect(allows(policy, .call, "a", userID: 7, groupIDs: [8, 50]))
    #expect(!allows(policy, .call, "a", userID: 50, groupID: 33, groupIDs: [33]))
  }

  @Test(
    arguments: [
      (PolicyRule("", users: .everybody, may: [.call], what: ["a"]), PolicyError.Key.name, "needs a name"),
      (PolicyRule("a\nb", users: .everybody, may: [.call], what: ["a"]), .name, "on one line"),
      (PolicyRule("r", may: [.call], what: ["a"]), .users, "is for nobody"),
      (PolicyRule("r", users: .everybody, may: [], what: ["a"]), .may, "allows nothing"),
      (PolicyRule("r", users: .everybody, may: [.call], what: []), .what, "is about nothing"),
      (PolicyRule("r", users: .everybody, may: [.call], what: ["a", "a..b"]), .what, "“a..b” in what"),
      (PolicyRule("r", users: .everybody, may: [.call], what: ["a"], except: ["*.a"]), .except, "“*.a” in except"),
    ])
  func aRuleThatMakesNoSenseIsRefused(_ rule: PolicyRule, _ key: PolicyError.Key, _ text: String) throws {
    let fine = Self.rule("fine", what: ["a"])
    let error = try #require(throws: PolicyError.self) { try Policy(rules: [fine, rule]) }
    #expect(error.rule == 1 && error.key == key && error.description.contains(text), "\(error)")
  }

  @Test func namesOfRulesAreUniqueAndTheirNumberIsBounded() throws {
    let twice = try #require(throws: PolicyError.self) {
      try Policy(rules: [Self.rule("x", what: ["a"]), Self.rule("x", what: ["b"])])
    }
    #expect(twice.rule == 1 && twice.description.contains("two rules have the name “x”"))
    let many = (0...Policy.mostRules).map { Self.rule("\($0)", what: ["a"]) }
    _ = try Policy(rules: Array(many.dropLast()))
    let tooMany = try #require(throws: PolicyError.self) { try Policy(rules: many) }
    #expect(tooMany.description.contains("1000 are the most"))
    let names = (0...Policy.mostNames).map { "n\($0)" }
    _ = try Policy(rules: [Self.rule(what: Array(names.dropLast()))])
    let full = try #require(throws: PolicyError.self) { try Policy(rules: [Self.rule(what: names)]) }
    #expect(full.description.contains("10000 are the most"))
  }

  @Test func anAnswerNamesTheRule() throws {
    let policy = try Policy(rules: [
      PolicyRule("web", users: .these([33]), may: [.call], what: ["token.*"], except: ["token.admin.*"])
    ])
    let allowed = policy.answer(.call, "token.fetch", userID: 33, groupIDs: [])
    #expect(allowed == PolicyAnswer(isAllowed: true, rule: "web", reason: "the rule “web” allows token.*"))
    let excepted = policy.answer(.call, "token.admin.x", userID: 33, groupIDs: [])
    #expect(excepted.rule == "web" && excepted.reason.contains("except token.admin.*"))
    let other = policy.answer(.register, "token.fetch", userID: 33, groupIDs: [])
    #expect(!other.isAllowed && other.rule == nil && other.reason.contains("the one rule for this user, “web”"))
    let nobody = policy.answer(.call, "token.fetch", userID: 34, groupIDs: [])
    #expect(!nobody.isAllowed && nobody.reason.contains("no rule is for this user"))
  }

  @Test func theFormSaysWhatTheRulesSay() throws {
    var random = SeededGenerator(announcedFor: "theFormSaysWhatTheRulesSay")
    let segments = ["a", "b", "ab", "hostcall"]
    func name() -> String { (0...random.below(4)).map { _ in random.pick(segments) }.joined(separator: ".") }
    func entry() -> String { random.chance(15) ? "*" : name() + (random.chance(50) ? ".*" : "") }
    for _ in 0..<400 {
      let rules = (0...random.below(6)).map { index in
        PolicyRule(
          "\(index)", users: random.chance(40) ? .everybody : .these([UInt32(random.below(3))]),
          groups: random.chance(40) ? [UInt32(random.below(3))] : [],
          may: Set(PolicyVerb.allCases.filter { _ in random.chance(50) } + [random.pick(PolicyVerb.allCases)]),
          what: (0...random.below(4)).map { _ in entry() }, except: (0..<random.below(4)).map { _ in entry() })
      }.filter { $0.users != .these([]) }
      let policy = try Policy(rules: rules)
      for _ in 0..<40 {
        _ = allows(
          policy, random.pick(PolicyVerb.allCases), entry(), userID: UInt32(random.below(4)),
          groupID: UInt32(random.below(4)), groupIDs: random.chance(30) ? [0, 2] : [])
      }
    }
  }

  @Test func peersToWhomTheSameRulesApplyShareAForm() throws {
    var table = PolicyTable(
      try Policy(rules: [
        PolicyRule("one", users: .these([1, 2]), may: [.call], what: ["a"]),
        PolicyRule("two", groups: [50], may: [.call], what: ["b"]),
      ]))
    func form(_ userID: UInt32, _ groups: [UInt32] = []) -> Slot {
      table.retainForm(for: PeerIdentity(userID: userID, groupID: 9, groupIDs: groups, processID: 1))
    }
    let first = form(1)
    #expect(form(2) == first && form(2, [50]) != first && form(3) == form(4))
    #expect(table.count == 3 && table.references == 5)
    for _ in 0..<2 { table.releaseForm(first) }
    #expect(form(1) == first && table.references == 4)
  }

  @Test func formsThatNobodyHasAreKeptUpToALimit() throws {
    let rules = (0..<200).map { PolicyRule("\($0)", users: .these([UInt32($0)]), may: [.call], what: ["a.n\($0)"]) }
    var table = PolicyTable(try Policy(rules: rules))
    for round in 0..<3 {
      for user in 0..<200 as Range<UInt32> {
        let form = table.retainForm(for: PeerIdentity(userID: user, groupID: 0, processID: 1))
        let isAllowed = Array("a.n\(user)".utf8).withUnsafeBytes { table.permits(.call, $0, form: form) }
        #expect(isAllowed, "\(round)")
        table.releaseForm(form)
      }
    }
    #expect(table.count == PolicyTable.mostIdleForms && table.references == 0)
  }
}
