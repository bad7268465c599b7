import HostcallWire

/// How many things of one kind somebody has, and the most that it may have.
struct Quota {
  /// The limit's name in the configuration.
  let limit: StaticString
  let count: Int
  let most: Int

  var isMet: Bool { count >= most }
}

/// Limits of what a connection keeps until it gives it back: registrations, subscriptions and bound names.
extension Bridge {
  /// Whether a connection may have one more thing by the name that a request says; refuses the request where not.
  ///
  /// - Parameters:
  ///   - things: what there would be one more of, as people call it.
  ///   - ofConnection: what this connection has of them.
  ///   - ofUser: what all connections of its user have.
  mutating func hasRoom(
    for request: FrameHeader, _ name: UnsafeRawBufferPointer, _ things: StaticString, ofConnection: Quota,
    ofUser: Quota, from slot: Slot, into actions: inout ActionBuffer
  ) -> Bool {
    if ofConnection.isMet {
      refuse(
        request, to: slot, meeting: ofConnection.limit, of: ofConnection.most,
        "\(FrameRules.printable(name)): this connection has \(ofConnection.most) \(things), the most it may have",
        into: &actions)
      return false
    }
    if ofUser.isMet {
      refuse(
        request, to: slot, meeting: ofUser.limit, of: ofUser.most,
        "\(FrameRules.printable(name)): this user has \(ofUser.most) \(things), the most it may have", into: &actions)
      return false
    }
    if functions.find(name) == nil, functions.count >= limits.functions {
      refuse(
        request, to: slot, meeting: "functions", of: limits.functions,
        "\(FrameRules.printable(name)): \(tooManyFunctions)", into: &actions)
      return false
    }
    return true
  }

  /// Why a name that the daemon does not know cannot be taken.
  var tooManyFunctions: String {
    "the daemon knows \(limits.functions) names, the most it may know"
  }
}
