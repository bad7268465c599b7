import HostcallTestSupport
import HostcallWire

@testable import HostcallBridge

/// Who may do what, by the words of the rules.
extension HistoryModel {
  func isAllowed(_ verb: PolicyVerb, _ name: String, _ peer: Int) -> Bool {
    let userID = peers[peer].userID
    return peers[peer].isLocal || policy.answer(verb, name, userID: userID, groupIDs: [userID + 1]).isAllowed
  }

  func forgetSleeping(_ name: String, of peer: Int) {
    for (handle, registration) in peers[peer].sleeping where registrations[registration].name == name {
      peers[peer].sleeping[handle] = nil
    }
  }

  /// Registrations fall asleep and wake.
  func setPolicy(_ policy: Policy) -> PolicyChange {
    let before = subscriptionsAwake()
    self.policy = policy
    let after = subscriptionsAwake()
    let forbidden = registrations.indices.filter {
      registrations[$0].isActive && !isAllowed(.register, registrations[$0].name, registrations[$0].peer)
    }
    for place in forbidden { peers[registrations[place].peer].sleeping[registrations[place].handle] = place }
    deactivate(forbidden)
    var woken = 0
    for peer in peers.indices where phase == .running && peers[peer].state == .open {
      for handle in peers[peer].sleeping.keys.sorted() { woken += wake(handle, of: peer) ? 1 : 0 }
    }
    endWhatNobodyServes()
    return PolicyChange(
      slept: forbidden.count, woken: woken, subscriptionsSlept: before.subtracting(after).count,
      subscriptionsWoken: after.subtracting(before).count)
  }

  /// Subscriptions that policy allows, each with its peer.
  private func subscriptionsAwake() -> Set<String> {
    var awake: Set<String> = []
    for peer in peers.indices where peers[peer].state != .gone {
      for name in peers[peer].subscriptions where isAllowed(.subscribe, name, peer) { awake.insert("\(peer) \(name)") }
    }
    return awake
  }

  private func wake(_ handle: UInt32, of peer: Int) -> Bool {
    guard let slept = peers[peer].sleeping[handle] else { return false }
    var registration = registrations[slept]
    let others = workers[registration.name] ?? []
    guard isAllowed(.register, registration.name, peer), !others.contains(where: { registrations[$0].isExclusive }),
      others.isEmpty || !registration.isExclusive
    else { return false }
    registration.isActive = true
    registration.held = 0
    registrations.append(registration)
    peers[peer].sleeping[handle] = nil
    peers[peer].registrations[handle] = registrations.count - 1
    workersChanged(registration.name, others + [registrations.count - 1])
    return true
  }
}

extension HistoryPlayer {
  func setPolicy() throws(HistoryViolation) {
    let count = random.chance(30) ? 0 : 1 + random.below(4)
    let rules = (0..<count).map { rule(named: "rule \($0)") }
    guard let policy = try? Policy(rules: rules) else {
      throw HistoryViolation(description: "these rules make no policy: \(rules)")
    }
    var change: PolicyChange?
    try step("the policy is \(rules)") {
      change = harness.setPolicy(policy)
    } _: { () throws(HistoryViolation) in
      let wanted = model.setPolicy(policy)
      if change != wanted { throw HistoryViolation(description: "\(wanted) was due, and \(change as Any) came") }
    }
  }

  private func rule(named name: String) -> PolicyRule {
    let people = model.peers.map(\.userID) + [1]
    let entries = Self.names + Self.patterns
    var rule = PolicyRule(
      name, users: random.chance(50) ? .everybody : .these([random.pick(people), random.pick(people)]),
      may: random.pick([[.call], [.register], [.call, .register], Set(PolicyVerb.allCases), [.publish, .subscribe]]),
      what: random.chance(40) ? ["*"] : [random.pick(entries), random.pick(entries)])
    if random.chance(30) { rule.groups = [random.pick(people)] }
    if random.chance(30) { rule.except = [random.pick(entries)] }
    return rule
  }
}
