/// The policy in force, and its forms: peers to whom the same rules apply share one.
struct PolicyTable: ~Copyable {
  struct Record {
    var form: PolicyForm
    var rules: [Int]
    /// Peers that have it.
    var references = 1
    /// Whether it is among ``PolicyTable/idle``, as it is from when nobody has it until it is looked at again.
    var isListed = false
  }

  /// Forms that nobody has and that are kept all the same, for a user who comes and goes.
  static let mostIdleForms = 64

  private(set) var policy: Policy
  /// Another number for each policy that was in force, so that what a policy has said can be told from what
  /// an earlier one has.
  private(set) var epoch: UInt32
  private(set) var hasRules: Bool
  /// Places of rules by whom they are for, in order.
  private var rulesForEverybody: [Int] = []
  private var rulesByUser: [UInt32: [Int]] = [:]
  private var rulesByGroup: [UInt32: [Int]] = [:]
  private var records = Places<Record>()
  private var free: [Slot] = []
  /// Places of forms by the places of their rules.
  private var slots: [[Int]: Slot] = [:]
  /// Places of forms that nobody had when they were put here, the oldest first.
  private var idle: [Slot] = []

  /// Forms that are kept.
  var count: Int { slots.count }
  /// Peers that have a form.
  var references: Int { records.indices.reduce(0) { $0 + records[$1].references } }

  /// A table whose policy no peer has a form of yet.
  init(_ policy: Policy = Policy(), epoch: UInt32 = 1) {
    self.policy = policy
    self.epoch = epoch
    hasRules = !policy.rules.isEmpty
    for (index, rule) in policy.rules.enumerated() {
      switch rule.users {
      case .everybody: rulesForEverybody.append(index)
      case .these(let users): for user in users { rulesByUser[user, default: []].append(index) }
      }
      for group in rule.groups { rulesByGroup[group, default: []].append(index) }
    }
  }

  /// Another policy takes the place of this one; every peer needs a form of it.
  func replaced(by policy: Policy) -> PolicyTable {
    PolicyTable(policy, epoch: epoch &+ 1)
  }

  /// The form for a peer, ``Slot/none`` where there are no rules; to be released.
  mutating func retainForm(for identity: PeerIdentity) -> Slot {
    if !hasRules { return .none }
    let rules = rules(for: identity)
    if let slot = slots[rules] {
      records[slot].references += 1
      return slot
    }
    let record = Record(form: PolicyForm(policy, rules: rules), rules: rules)
    let slot = records.insert(record, reusing: &free)
    slots[rules] = slot
    return slot
  }

  mutating func releaseForm(_ slot: Slot) {
    if slot == .none { return }
    records[slot].references -= 1
    guard records[slot].references == 0, !records[slot].isListed else { return }
    records[slot].isListed = true
    idle.append(slot)
    if idle.count > Self.mostIdleForms { dropIdle(idle.removeFirst()) }
  }

  private mutating func dropIdle(_ slot: Slot) {
    records[slot].isListed = false
    guard records[slot].references == 0 else { return }
    slots[records[slot].rules] = nil
    records[slot] = Record(form: PolicyForm(policy, rules: []), rules: [], references: 0)
    free.append(slot)
  }

  /// Whether policy lets the peers that have the form do something with a name or pattern.
  func permits(_ verb: PolicyVerb, _ name: UnsafeRawBufferPointer, form: Slot) -> Bool {
    if !hasRules { return true }
    return records[form].form.permits(verb, name)
  }

  private func rules(for identity: PeerIdentity) -> [Int] {
    var rules = Set(rulesForEverybody)
    rules.formUnion(rulesByUser[identity.userID] ?? [])
    rules.formUnion(rulesByGroup[identity.groupID] ?? [])
    if !rulesByGroup.isEmpty {
      for group in identity.groupIDs { rules.formUnion(rulesByGroup[group] ?? []) }
    }
    return rules.sorted()
  }
}
