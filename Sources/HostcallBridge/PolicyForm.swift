import HostcallWire

/// What some rules of a policy allow together, in a form that is quick to ask.
///
/// A name is looked up in one pass that allocates nothing: for each of its prefixes that ends with a dot, and for
/// itself, a hash table says whether rules mention it. The longest that they mention decides, for every rule that means
/// it means the name as well, and no other does.
struct PolicyForm {
  /// A prefix that ends with a dot, the empty prefix, or a name: something that rules mention, or that something they
  /// mention lies below.
  private struct Node: BitwiseCopyable {
    let hash: UInt64
    let start: UInt32
    let byteCount: UInt32
    /// Verbs that are allowed for the name, or below the prefix for what lies in no longer prefix of this table.
    let allowed: UInt8
    /// Verbs that one rule allows for everything below the prefix.
    let allowedForAll: UInt8
  }

  /// The first one is the empty prefix; empty where there are no rules.
  private var nodes: [Node] = []
  private var bytes: [UInt8] = []
  /// Places of nodes by hash.
  private var buckets: [Slot] = []

  /// The form of the rules with these places; the others do not exist.
  init(_ policy: Policy, rules: [Int]) {
    if rules.isEmpty { return }
    let tree = PolicyTree(policy, rules: rules)
    var size = 4
    while size < tree.nodes.count * 2 { size *= 2 }
    buckets = Array(repeating: .none, count: size)
    for (node, (allowed, allowedForAll)) in tree.verbsOfNodes().enumerated() {
      let key = tree.nodes[node].key
      let hash = key.reduce(Self.emptyHash, Self.hash)
      var place = Int(truncatingIfNeeded: hash) & (size - 1)
      while buckets[place] != .none { place = (place + 1) & (size - 1) }
      buckets[place] = Slot(node)
      nodes.append(
        Node(
          hash: hash, start: UInt32(bytes.count), byteCount: UInt32(key.count), allowed: allowed,
          allowedForAll: allowedForAll))
      bytes.append(contentsOf: key)
    }
  }

  /// Whether the rules allow something with a name, or with all that a pattern means.
  func permits(_ verb: PolicyVerb, _ name: UnsafeRawBufferPointer) -> Bool {
    if nodes.isEmpty { return false }
    let isPattern = name.last == UInt8(ascii: "*")
    let end = isPattern ? name.count - 1 : name.count
    // Place 0 is the empty prefix.
    var longest: Slot = 0
    var hash = Self.emptyHash
    for position in 0..<end {
      let byte = name[position]
      hash = Self.hash(hash, byte)
      if byte == UInt8(ascii: ".") {
        let prefix = UnsafeRawBufferPointer(rebasing: name[...position])
        // Where a prefix is not in the table, nothing below it is.
        guard let node = find(hash, prefix) else { return nodes[Int(longest)].allowed & verb.bit != 0 }
        longest = node
      }
    }
    if isPattern {
      let node = nodes[Int(longest)]
      return (node.byteCount == end ? node.allowedForAll : node.allowed) & verb.bit != 0
    }
    return nodes[Int(find(hash, name) ?? longest)].allowed & verb.bit != 0
  }

  private func find(_ hash: UInt64, _ key: UnsafeRawBufferPointer) -> Slot? {
    let mask = buckets.count - 1
    var place = Int(truncatingIfNeeded: hash) & mask
    while buckets[place] != .none {
      if nodes[Int(buckets[place])].hash == hash, has(nodes[Int(buckets[place])], key) { return buckets[place] }
      place = (place + 1) & mask
    }
    return nil
  }

  private func has(_ node: Node, _ key: UnsafeRawBufferPointer) -> Bool {
    guard node.byteCount == key.count else { return false }
    return bytes.withUnsafeBytes { bytes in
      for place in 0..<key.count where bytes[Int(node.start) + place] != key[place] { return false }
      return true
    }
  }

  // FNV-1a. What is in the table comes from the configuration, so nobody can make its chains long.
  private static let emptyHash: UInt64 = 0xcbf2_9ce4_8422_2325

  private static func hash(_ hash: UInt64, _ byte: UInt8) -> UInt64 {
    (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
  }
}

/// The names and patterns of some rules as a tree of prefixes, from which a ``PolicyForm`` is made.
struct PolicyTree {
  struct Node {
    let key: ArraySlice<UInt8>
    /// The next shorter prefix; its own place for the empty one.
    let parent: Int
    var grantedBy: [Int] = []
    var exceptedBy: [Int] = []
    /// Rules with an exception somewhere below.
    var exceptedBelowBy: [Int] = []
  }

  private(set) var nodes: [Node] = [Node(key: [], parent: 0)]
  private var places: [ArraySlice<UInt8>: Int] = [[]: 0]
  /// Verbs of each rule of the policy.
  private let verbs: [UInt8]

  init(_ policy: Policy, rules: [Int]) {
    verbs = policy.rules.map { $0.may.reduce(0) { $0 | $1.bit } }
    for rule in rules {
      for entry in policy.rules[rule].what { nodes[place(of: entry)].grantedBy.append(rule) }
      for entry in policy.rules[rule].except {
        var node = place(of: entry)
        nodes[node].exceptedBy.append(rule)
        while node != 0 {
          node = nodes[node].parent
          if nodes[node].exceptedBelowBy.last == rule { break }
          nodes[node].exceptedBelowBy.append(rule)
        }
      }
    }
  }

  /// For each node the verbs that the rules allow at it, and those that one of them allows for everything below it.
  func verbsOfNodes() -> [(allowed: UInt8, allowedForAll: UInt8)] {
    // For which node a rule was last found to be excepted, and to have an exception below.
    var excepted = [Int](repeating: -1, count: verbs.count)
    var exceptedBelow = excepted
    return nodes.indices.map { node in
      for rule in nodes[node].exceptedBelowBy { exceptedBelow[rule] = node }
      forEachAbove(node) { for rule in nodes[$0].exceptedBy { excepted[rule] = node } }
      var allowed: UInt8 = 0
      var allowedForAll: UInt8 = 0
      forEachAbove(node) { place in
        for rule in nodes[place].grantedBy where excepted[rule] != node {
          allowed |= verbs[rule]
          if exceptedBelow[rule] != node { allowedForAll |= verbs[rule] }
        }
      }
      return (allowed, allowedForAll)
    }
  }

  /// Goes through a node and all prefixes above it.
  private func forEachAbove(_ node: Int, _ use: (Int) -> Void) {
    var place = node
    while true {
      use(place)
      if place == 0 { return }
      place = nodes[place].parent
    }
  }

  /// The node of a name or, for a pattern, of its prefix; it and all prefixes above it are made if they are missing.
  private mutating func place(of entry: String) -> Int {
    let bytes = Array(entry.utf8)
    return place(of: bytes.last == UInt8(ascii: "*") ? bytes.dropLast() : bytes[...])
  }

  private mutating func place(of key: ArraySlice<UInt8>) -> Int {
    if let known = places[key] { return known }
    let above = key.dropLast().lastIndex(of: UInt8(ascii: ".")).map { key[...$0] } ?? []
    let parent = place(of: above)
    nodes.append(Node(key: key, parent: parent))
    places[key] = nodes.count - 1
    return nodes.count - 1
  }
}
